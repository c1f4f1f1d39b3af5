"""What the providers service reads from its environment."""

from pathlib import Path

from libs.common.settings import Settings


class ProvidersSettings(Settings):
    """`local_inbox_smtp` is `host:port` of the bundled inbox, None where there is none."""

    keyring_file: Path
    local_inbox_smtp: str | None = None
