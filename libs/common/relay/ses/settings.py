"""Settings of an SES relay: keys, endpoint, connections and timeouts."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr

from libs.common.relay.http.messages import HttpSettings, NotSent
from libs.common.relay.port import Trouble
from libs.common.relay.redact import spellings

_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)  # one label of a host name
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "eusc-": "amazonaws.eu",
}
"""The DNS suffix of AWS' partitions by the beginning of their regions (botocore's `partitions.json`, 1.40)."""


@dataclass(frozen=True, slots=True)
class SesSettings:
    """An account's keys and where its SES is. Neither `repr` nor `str` shows the credentials. Times are in seconds."""

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

    def endpoint(self) -> str:
        """The URL of SES, without a slash at its end. Raises `NotSent` for a region that cannot be one."""
        if self.endpoint_url is not None:
            return self.endpoint_url.rstrip("/")
        if not _REGION.fullmatch(self.region):
            raise NotSent("the region is none of AWS', for instance eu-west-1", kind="configuration")
        suffixes = (suffix for beginning, suffix in _SUFFIXES.items() if self.region.startswith(beginning))
        return f"https://email.{self.region}.{next(suffixes, 'amazonaws.com')}"

    def http(self) -> HttpSettings:
        """How it is called."""
        return HttpSettings(self.max_connections, self.connect_timeout, self.read_timeout, self.ca_file)

    def secrets(self) -> tuple[str, ...]:
        """Every way in which the credentials travel, so that an echo of them can be struck out; longest first."""
        return spellings(self.secret_access_key.get_secret_value(), self.access_key_id)


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
