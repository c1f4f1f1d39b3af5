"""Credential blocks of requests, one pair for each type of provider: whole to create with, in parts to change with."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from libs.common.events.provider import Encryption
from libs.common.serve import RequestModel
from services.providers.api.text import EndpointUrl, Host, Id, KeptHost, KeptId, KeptUrl, Key, Port, Secret


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


class Change(RequestModel):
    """Every member is optional; what it is when absent is nobody's business, so the document shows no defaults."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class SesCredentials(RequestModel):
    """An IAM user's access key. `endpoint_url` is refused unless the operator allows custom endpoints."""

    access_key_id: Annotated[Key, Field(min_length=1)]
    secret_access_key: Annotated[Key, Field(min_length=1)]
    endpoint_url: EndpointUrl | None = None


class ScalewayCredentials(RequestModel):
    """A secret key and the id of the project it sends for."""

    api_key: Annotated[Key, Field(min_length=1)]
    project_id: Id


class SmtpCredentials(RequestModel):
    """Where the relay is and, if it wants that, who we are."""

    host: Host
    port: Port
    username: Secret | None = None
    password: Secret | None = None
    encryption: Encryption = "starttls"
    accept_invalid_certs: bool = False


class SesCredentialsChange(Change):
    """Absent members, `""` and the masks that answers show keep what is stored; `endpoint_url: null` clears it."""

    access_key_id: Key = ""
    secret_access_key: Key = ""
    endpoint_url: KeptUrl | None = ""


class ScalewayCredentialsChange(Change):
    """Absent members, `""` and the masks that answers show keep what is stored."""

    api_key: Key = ""
    project_id: KeptId = ""


class SmtpCredentialsChange(Change):
    """Absent members, `""` and the masks that answers show keep what is stored; `username: null` clears the login."""

    host: KeptHost = ""
    port: Port = 1
    username: Secret | None = ""
    password: Secret | None = ""
    encryption: Encryption = "starttls"
    accept_invalid_certs: bool = False
