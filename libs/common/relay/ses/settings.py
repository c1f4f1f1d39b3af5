"""What SES is told by its owner, and the patience we have with it."""

from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, urlsplit

from pydantic import SecretStr

from libs.common.relay.port import Trouble


@dataclass(frozen=True, slots=True)
class SesSettings:
    """An account's keys and where its SES is. Neither `repr` nor `str` shows the credentials. Seconds."""

    access_key_id: str = field(repr=False)
    secret_access_key: SecretStr
    region: str
    endpoint_url: str | None = None
    """Something that speaks like SES, elsewhere."""
    max_connections: int = 10
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    """Until the answer is there, once the request is out; a long message has longer."""
    ca_file: str | None = None
    """A PEM bundle trusted beside the system's, for endpoints with a certificate of a private authority."""

    def secrets(self) -> tuple[str, ...]:
        """Every way in which the credentials travel, so that an echo of them can be struck out; longest first."""
        shown = (self.secret_access_key.get_secret_value(), self.access_key_id)
        forms = {form for text in shown if text for form in (text, quote(text, safe=""), quote(text), quote_plus(text))}
        return tuple(sorted(forms, key=len, reverse=True))


def endpoint_trouble(url: str) -> Trouble | None:
    """Why this cannot be an endpoint: it has to be http(s), a host, perhaps a port and a path, and nothing else."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if fits and not (parts.username or parts.password or parts.query or parts.fragment or "@" in parts.netloc):
        return None
    return Trouble("configuration", "the endpoint is not an http or https URL of a host, without login or query")
