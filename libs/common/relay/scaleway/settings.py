"""Settings of a Scaleway relay, checked so that no value can redirect a request."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from libs.common.relay.redact import spellings

# `fr-par`, and a UUID. Nothing that means anything in a URL: no slash, dot, percent sign, question mark or space.
_REGION = re.compile(r"[a-z0-9]{1,16}(?:-[a-z0-9]{1,16}){0,4}")
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
_KEY = re.compile(r"[!-~]{1,256}")  # it travels in a header (RFC 9110 section 5.5)


@dataclass(frozen=True, slots=True)
class ScalewaySettings:
    """Seconds are those of one exchange. `repr` does not show the key. Raises `ValueError` that repeats no value."""

    api_key: SecretStr
    project_id: str
    region: str
    api_url: str = "https://api.scaleway.com"
    max_connections: int = 10
    connect_timeout: float = 5.0
    """Name, TCP and TLS together."""
    read_timeout: float = 30.0
    """From the first octet of the request to the last of the answer."""

    def __post_init__(self) -> None:
        if not _REGION.fullmatch(self.region):
            raise ValueError("the region is none of Scaleway's, for instance fr-par")
        if not is_id(self.project_id):
            raise ValueError("the project id is not one of Scaleway's: letters, digits and hyphens")
        if not _KEY.fullmatch(self.api_key.get_secret_value()):
            raise ValueError("the API key is empty or holds a space or a character that is not ASCII")
        url = urlsplit(self.api_url)
        if url.scheme not in {"https", "http"} or not url.hostname or url.query or url.fragment or url.username:
            raise ValueError("the API's URL is not of the form https://host")

    @property
    def base_url(self) -> str:
        """Of the region, without a slash at its end."""
        return f"{self.api_url.rstrip('/')}/transactional-email/v1alpha1/regions/{self.region}"

    def secrets(self) -> tuple[str, ...]:
        """All spellings of the key, to be redacted from every text."""
        return spellings(self.api_key.get_secret_value())


def is_id(text: str) -> bool:
    """True if the text is one valid path segment."""
    return _ID.fullmatch(text) is not None
