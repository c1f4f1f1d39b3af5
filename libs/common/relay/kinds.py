"""Every kind of provider there is, one row each: what it is called, takes, needs to know, and how it is opened.

Light, because both sides of the sender and the providers service read it: an adapter's package is imported when the
first provider of its kind is opened. A kind that is in no row may still be in the facts, written by a newer version
during an upgrade: `kind_of` says None, such a provider is not usable here, and its mail waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from libs.common.relay.limits import Limits

Form = Literal["key", "uuid", "url"]
"""The format of a credential: `key` is ASCII without spaces, `url` is http or https."""
Shown = Literal["clear", "masked", "hidden"]
"""How answers show it: whole, its first and last characters, or not at all."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One member of a kind's credential block. `is_optional`: it may be null, and is shown only where there is one.

    `is_custom_endpoint`: it is refused unless the operator allows endpoints of one's own.
    """

    name: str
    form: Form
    shown: Shown
    description: str
    is_optional: bool = False
    is_custom_endpoint: bool = False


@dataclass(frozen=True, slots=True)
class Region:
    """A region becomes part of a host's name, so nothing else may stand there. `pattern` is a regular expression."""

    pattern: str
    example: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of provider.

    `credentials` is None for a kind whose connection is a host and a port with a login (`SmtpEndpoint`). `region` is
    None where a region is only a word of the provider's owner. `opener` is an `opening.Opener`, as `module:name`.
    `is_checked_live`: its credentials are tried before they are stored; that a relay is set up later is normal.
    `takes_any_domain`: it sends for domains that nobody registered with it, so it may be the default.
    """

    name: str
    label: str
    opener: str
    limits: Limits
    credentials: tuple[Credential, ...] | None
    region: Region | None
    is_checked_live: bool
    takes_any_domain: bool
    about_credentials: str
    example: Mapping[str, Any]
    """A body that creates one, credentials and type aside, and its summary under `summary`."""

    @property
    def block(self) -> str:
        """The member of a request that holds its credentials."""
        return f"{self.name}_credentials"

    @property
    def has_endpoint(self) -> bool:
        """True if facts hold its connection in their `smtp` member."""
        return self.credentials is None

    @property
    def needed(self) -> frozenset[str]:
        """The members that make a credential block complete without the stored secret."""
        if self.credentials is None:
            return frozenset({"username", "password"})
        return frozenset(each.name for each in self.credentials if not each.is_optional)


_KINDS = (
    Kind(
        name="smtp",
        label="SMTP",
        opener="libs.common.relay.smtp.opening:open_provider",
        # A relay says in EHLO what it takes (SIZE, SMTPUTF8); RFC 5321 section 4.5.3.1.8 lets it take 100 recipients.
        limits=Limits("SMTP"),
        credentials=None,
        region=None,
        is_checked_live=False,
        takes_any_domain=True,
        about_credentials="where the relay is, and how to log in",
        example={
            "summary": "An SMTP relay",
            "name": "My relay",
            "smtp_credentials": {
                "host": "smtp.example.com",
                "port": 587,
                "encryption": "starttls",
                "username": "YOUR_USER",
                "password": "YOUR_PASSWORD",
            },
        },
    ),
    Kind(
        name="ses",
        label="AWS SES",
        opener="libs.common.relay.ses.opening:open_provider",
        # "Service quotas in Amazon SES" and "SendEmail" of SES v2.
        limits=Limits("AWS SES", recipients=50, largest=40_000_000, base64=True, ascii_addresses=True),
        credentials=(
            Credential("access_key_id", "key", "masked", "An IAM user's access key"),
            Credential("secret_access_key", "key", "hidden", "Its secret"),
            Credential(
                "endpoint_url",
                "url",
                "clear",
                "Refused unless the operator allows custom endpoints",
                is_optional=True,
                is_custom_endpoint=True,
            ),
        ),
        region=Region(r"[a-z]{2}(?:-[a-z]+)+-[0-9]", "eu-west-1"),
        is_checked_live=True,
        takes_any_domain=False,
        about_credentials="the access key",
        example={
            "summary": "AWS SES (with verify=false until the key is yours)",
            "name": "SES Frankfurt",
            "region": "eu-central-1",
            "ses_credentials": {"access_key_id": "YOUR_KEY", "secret_access_key": "YOUR_SECRET"},
        },
    ),
    Kind(
        name="scaleway",
        label="Scaleway",
        opener="libs.common.relay.scaleway.opening:open_provider",
        # Scaleway's documentation "Transactional Email capabilities and limits" and django-anymail's notes on it. Mail
        # to a non-ASCII local part is accepted there and never arrives.
        limits=Limits("Scaleway", recipients=10, shortest=10, largest=2_000_000, ascii_addresses=True),
        credentials=(
            Credential("api_key", "key", "hidden", "A secret key"),
            Credential("project_id", "uuid", "clear", "The project that it sends for"),
        ),
        region=Region(r"[a-z]{2}-[a-z]{3}", "fr-par"),
        is_checked_live=True,
        takes_any_domain=False,
        about_credentials="the secret key and its project",
        example={
            "summary": "Scaleway (with verify=false until the key is yours)",
            "name": "Scaleway Paris",
            "region": "fr-par",
            "scaleway_credentials": {"api_key": "YOUR_KEY", "project_id": "00000000-0000-0000-0000-000000000000"},
        },
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
"""By `provider_type`."""


def kind_of(provider_type: str) -> Kind | None:
    """The row, None for a kind that this version does not know."""
    return KINDS.get(provider_type)


def label_of(provider_type: str) -> str:
    """How people call it."""
    kind = kind_of(provider_type)
    return kind.label if kind is not None else provider_type


def limits_of(provider_type: str) -> Limits:
    """The limits of this kind for one message; an unknown kind has none."""
    kind = kind_of(provider_type)
    return kind.limits if kind is not None else Limits(provider_type)
