"""`/api/api-keys`: a key is shown once, when it is made."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field

from libs.common import apikey
from libs.common.facts.key import KeyState
from libs.common.web import (
    Page,
    PageNumber,
    PageSize,
    PathId,
    RequestModel,
    ResponseModel,
    Time,
    in_utc,
    requires,
    router,
    set_position,
)
from libs.common.web.principal import Principal
from services.gateway.auth.keys import NewKey
from services.gateway.auth.keys import create_key as create
from services.gateway.auth.keys import delete_key as delete
from services.gateway.context import TheDeps


def _named(value: str) -> str:
    if not value.strip() or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must not be blank and hold no control characters")
    return value.strip()


class CreateApiKey(RequestModel):
    """Give either `scopes` or `role`."""

    name: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_named)]
    role: str | None = None
    scopes: Annotated[list[str] | None, Field(max_length=100)] = None
    expires_at: Time | None = None


class ApiKey(ResponseModel):
    """A key without its secret."""

    id: int
    name: str
    prefix: str
    user_id: int
    role: str | None
    scopes: list[str]
    expires_at: Annotated[datetime, AfterValidator(in_utc)] | None
    created_at: datetime


class CreatedApiKey(ApiKey):
    """The only answer that holds the key."""

    key: str = Field(examples=["tk_…"], repr=False)


_EXAMPLE = {
    "requestBody": {
        "content": {
            "application/json": {
                "examples": {
                    "shop": {
                        "summary": "A key that sends and reads emails, and nothing else",
                        "value": {"name": "Web shop", "scopes": ["emails:send", "emails:read"]},
                    }
                }
            }
        }
    }
}


def key_routes() -> APIRouter:
    """The routes, in the order in which the API's description shows them."""
    routes = router()

    @routes.post("/api/api-keys", status_code=201, openapi_extra=_EXAMPLE)
    async def create_api_key(
        body: CreateApiKey,
        request: Request,
        response: Response,
        deps: TheDeps,
        principal: Annotated[Principal, requires("api_keys:write")],
    ) -> CreatedApiKey:
        """Make a key that belongs to the caller's user."""
        key = apikey.new_key()
        asked = NewKey(body.name, body.role, body.scopes, body.expires_at)
        stored = await deps.write(
            deps.key_view,
            lambda: create(asked, key, caller=principal, keys=deps.keys, now=deps.now()),
            principal=principal,
            request=request,
        )
        set_position(response, "key", stored.sequence)
        response.headers["Cache-Control"] = "no-store"
        return CreatedApiKey(**_shown(KeyState.model_validate(stored.data["key"])).model_dump(), key=key)

    @routes.get("/api/api-keys")
    async def list_api_keys(
        deps: TheDeps,
        _: Annotated[Principal, requires("api_keys:read")],
        page: PageNumber = 1,
        page_size: PageSize = 20,
    ) -> Page[ApiKey]:
        """Every key that is not revoked, newest first."""
        keys = deps.keys.all()[::-1]
        start = (page - 1) * page_size
        shown = [_shown(key) for key in keys[start : start + page_size]]
        return Page[ApiKey](data=shown, total=len(keys), page=page, page_size=page_size)

    @routes.delete("/api/api-keys/{id}", status_code=204)
    async def delete_api_key(
        id: PathId,
        request: Request,
        response: Response,
        deps: TheDeps,
        principal: Annotated[Principal, requires("api_keys:write")],
    ) -> None:
        """Revoke a key: it is refused from now on."""
        stored = await deps.write(
            deps.key_view, lambda: delete(id, keys=deps.keys), principal=principal, request=request
        )
        set_position(response, "key", stored.sequence)

    return routes


def _shown(key: KeyState) -> ApiKey:
    return ApiKey.model_validate(key.model_dump(exclude={"sha256"}))
