"""Credential blocks of requests, one pair for each type of provider: whole to create with, in parts to change with."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, create_model

from libs.common.relay.kinds import KINDS, Form, Kind
from libs.common.relay.smtp.settings import Encryption
from libs.common.web import RequestModel
from services.providers.text import EndpointUrl, Host, Id, KeptHost, KeptId, KeptUrl, Key, Port, Secret


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


class Change(RequestModel):
    """Every member is optional; what it is when absent is nobody's business, so the document shows no defaults."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class SmtpCredentials(RequestModel):
    """Where the relay is and, if it wants that, who we are."""

    host: Host
    port: Port
    username: Secret | None = None
    password: Secret | None = None
    encryption: Encryption = "starttls"
    accept_invalid_certs: bool = False


class SmtpCredentialsChange(Change):
    """Absent members, `""` and the masks that answers show keep what is stored; `username: null` clears the login."""

    host: KeptHost = ""
    port: Port = 1
    username: Secret | None = ""
    password: Secret | None = ""
    encryption: Encryption = "starttls"
    accept_invalid_certs: bool = False


_GIVEN: Mapping[Form, Any] = {"key": Annotated[Key, Field(min_length=1)], "uuid": Id, "url": EndpointUrl}
_KEPT: Mapping[Form, Any] = {"key": Key, "uuid": KeptId, "url": KeptUrl}


def _whole(kind: Kind) -> type[RequestModel]:
    if kind.credentials is None:
        return SmtpCredentials
    members: dict[str, Any] = {}
    for each in kind.credentials:
        given = _GIVEN[each.form]
        described = Field(default=None if each.is_optional else ..., description=each.description)
        members[each.name] = (given | None if each.is_optional else given, described)
    words = f"{kind.label}: {kind.about_credentials}."
    return create_model(f"{_title(kind)}Credentials", __base__=RequestModel, __doc__=words, **members)


def _partial(kind: Kind) -> type[Change]:
    if kind.credentials is None:
        return SmtpCredentialsChange
    members: dict[str, Any] = {}
    for each in kind.credentials:
        kept = _KEPT[each.form] | None if each.is_optional else _KEPT[each.form]
        members[each.name] = (kept, Field("", description=each.description))
    words = 'Absent members, `""` and the masks that answers show keep what is stored; null clears what may be absent.'
    return create_model(f"{_title(kind)}CredentialsChange", __base__=Change, __doc__=words, **members)


def _title(kind: Kind) -> str:
    return kind.name.capitalize()


WHOLE: Mapping[str, type[RequestModel]] = {kind.block: _whole(kind) for kind in KINDS.values()}
"""The credential blocks that a provider is created with, by member of the request."""
PARTIAL: Mapping[str, type[Change]] = {kind.block: _partial(kind) for kind in KINDS.values()}
"""Credential blocks of updates, by kind."""
