"""An HTTP request to a provider, its answer, and the three errors that stand for a missing answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How a provider's API is called. Times are in seconds."""

    max_connections: int = 10
    connect_timeout: float = 5.0
    """Name, TCP and TLS together."""
    read_timeout: float = 30.0
    """From the first octet of the request to the last of the answer; a long request has longer."""
    ca_file: str | None = None
    """A PEM bundle trusted beside the system's, for endpoints with a certificate of a private authority."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`url` is encoded already. `headers` hold credentials, so `repr` leaves them out."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer of any status, redirects included. Names of `headers` are in lower case.

    `body` is empty where a refusal (status 300 and above) broke off: the status alone says that it is one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; "" where the answer names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class NotSent(Exception):
    """Nothing of the request was written: the provider could not be reached, or must not be."""

    def __init__(
        self, text: str, *, kind: Literal["connection", "configuration"] = "connection", suggestion: str | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.kind: Literal["connection", "configuration"] = kind
        self.suggestion = suggestion


class NoAnswer(Exception):
    """The request was begun, and no usable answer came: the provider may have done what it asked for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Abandoned(Exception):
    """`before_dot` said no: nothing was written."""
