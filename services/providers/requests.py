"""Request bodies for providers and domains; unknown members are refused."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from libs.common.errors import InvalidError
from libs.common.mime.addresses import Mailbox, parse_address
from libs.common.relay.kinds import KINDS
from libs.common.web import LARGEST_ID, RequestModel
from services.providers.accounts.change_rules import Draft
from services.providers.accounts.credential_blocks import PARTIAL, WHOLE, Change
from services.providers.accounts.credential_rules import Block, accept
from services.providers.accounts.kind_rules import require_kind
from services.providers.sending_domains.domain_name_rules import normalise
from services.providers.text import HeloName, Line, Name

UnknownPolicy = Literal["retry", "hold"]
Connections = Annotated[int, Field(ge=1, le=1_000)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]


def _distinct(ids: list[int]) -> list[int]:
    if len(set(ids)) != len(ids):
        raise ValueError("names a provider twice")
    return ids


Fallbacks = Annotated[list[Annotated[int, Field(ge=1, le=LARGEST_ID)]], Field(max_length=20), AfterValidator(_distinct)]


def _address(text: str) -> str:
    parse_address(text)
    return text


if TYPE_CHECKING:  # what the table of kinds adds is not known before it is read
    KindName = str

    class _CreateBlocks(RequestModel): ...

    class _UpdateBlocks(Change): ...

else:
    KindName = Literal[tuple(KINDS)]

    def _with(base: type[RequestModel], blocks: Mapping[str, type[RequestModel]]) -> type[RequestModel]:
        members = {
            kind.block: (
                blocks[kind.block] | None,
                Field(None, description=f"Only for `{kind.name}`: {kind.about_credentials}"),
            )
            for kind in KINDS.values()
        }
        return create_model(f"_{base.__name__}Blocks", __base__=base, **members)

    _CreateBlocks, _UpdateBlocks = _with(RequestModel, WHOLE), _with(Change, PARTIAL)


class CreateProvider(_CreateBlocks):
    """A new provider, with exactly the credential block of its type."""

    name: Name
    provider_type: KindName
    region: Name | None = None
    is_active: bool = True
    is_default: bool = False
    max_connections: Connections = 10
    rate_limit_per_second: Rate | None = None
    fallback_provider_ids: Fallbacks = Field(default_factory=list)
    unknown_policy: UnknownPolicy = "retry"
    helo_name: HeloName | None = None

    def draft(self) -> Draft:
        """The provider that is asked for. Raises `InvalidError`."""
        kind = KINDS[self.provider_type]
        wanted = kind.block
        given = _blocks(self)
        wrong = [
            (name, f"does not belong to a provider of type {self.provider_type}") for name in given if name != wanted
        ]
        if wanted not in given:
            wrong.append((wanted, f"is required for a provider of type {self.provider_type}"))
        if self.region is None and kind.region is not None:
            wrong.append(("region", f"is required for a provider of type {self.provider_type}"))
        if wrong:
            raise InvalidError(wrong)
        return Draft(
            name=self.name,
            provider_type=self.provider_type,
            region=self.region or "custom",
            is_active=self.is_active,
            is_default=self.is_default,
            max_connections=self.max_connections,
            rate_limit_per_second=self.rate_limit_per_second,
            fallback_provider_ids=tuple(self.fallback_provider_ids),
            unknown_policy=self.unknown_policy,
            helo_name=self.helo_name,
            credentials=accept(self.provider_type, given[wanted].model_dump()),
        )


class UpdateProvider(_UpdateBlocks):
    """What shall be different; absent members stay. The type of a provider never changes."""

    name: Name = "-"
    region: Name = "-"
    is_active: bool = True
    is_default: bool = False
    max_connections: Connections = 10
    rate_limit_per_second: Rate | None = None
    fallback_provider_ids: Fallbacks = Field(default_factory=list)
    unknown_policy: UnknownPolicy = "retry"
    helo_name: HeloName | None = None

    @model_validator(mode="before")
    @classmethod
    def _immutable(cls, given: Any) -> Any:
        if isinstance(given, dict) and "provider_type" in given:
            raise InvalidError([("provider_type", "cannot be changed: create another provider")])
        return given

    def settings(self) -> dict[str, Any]:
        """The given settings by name, credentials aside."""
        given = self.model_fields_set - PARTIAL.keys()
        return {name: getattr(self, name) for name in type(self).model_fields if name in given}

    def block(self, provider_type: str) -> Block | None:
        """The given members of the credential block; None when no block was given. Raises `InvalidError`."""
        given = _blocks(self)
        if not given:
            return None
        wanted = require_kind(provider_type).block
        wrong = [(name, f"does not belong to a provider of type {provider_type}") for name in given if name != wanted]
        if wrong:
            raise InvalidError(wrong)
        return given[wanted].model_dump(include=given[wanted].model_fields_set) if wanted in given else None


class TestProvider(RequestModel):
    """Who the test email is from; it goes to the logged-in user's own address."""

    __test__ = False  # pytest: its name begins with Test because its command does

    sender: Annotated[Line, Field(alias="from", max_length=1_000), AfterValidator(_address)]
    from_name: Annotated[Line, Field(max_length=255)] | None = None

    def mailbox(self) -> Mailbox:
        """The address, and the name beside it."""
        parsed = parse_address(self.sender)
        return Mailbox(parsed.address, self.from_name or parsed.name)


class CreateDomain(RequestModel):
    """A sending domain, and the provider that its mail goes through."""

    provider_id: Annotated[int, Field(ge=1, le=LARGEST_ID)]
    domain: Annotated[Line, Field(max_length=1_000), AfterValidator(normalise)]


def _blocks(request: CreateProvider | UpdateProvider) -> dict[str, RequestModel]:
    found = ((name, getattr(request, name)) for name in WHOLE)
    return {name: block for name, block in found if block is not None}
