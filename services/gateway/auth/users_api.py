"""`/api/users` (reading; writing comes later) and `/api/me`."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter

from libs.common.errors import NotFoundError, UnauthorizedError
from libs.common.facts.user import UserState
from libs.common.web import Page, PageNumber, PageSize, PathId, ResponseModel, requires, router
from libs.common.web.principal import Principal
from services.gateway.context import TheDeps


class User(ResponseModel):
    """A user without anything that logs in."""

    id: int
    email: str
    name: str
    role: str
    is_active: bool
    created_at: datetime
    updated_at: datetime


class PrincipalAnswer(ResponseModel):
    """What the caller is known as: a key or a session."""

    id: str
    kind: str


class Me(ResponseModel):
    """Who is calling, and what they may do."""

    user: User
    principal: PrincipalAnswer
    scopes: list[str]


def user_routes() -> APIRouter:
    """The routes."""
    routes = router()

    @routes.get("/api/users")
    async def list_users(
        deps: TheDeps,
        _: Annotated[Principal, requires("api_keys:read")],
        page: PageNumber = 1,
        page_size: PageSize = 20,
    ) -> Page[User]:
        """Every user, newest first."""
        users = deps.users.all()[::-1]
        start = (page - 1) * page_size
        shown = [_shown(user) for user in users[start : start + page_size]]
        return Page[User](data=shown, total=len(users), page=page, page_size=page_size)

    @routes.get("/api/users/{id}")
    async def get_user(
        id: PathId,
        deps: TheDeps,
        _: Annotated[Principal, requires("api_keys:read")],
    ) -> User:
        """One user."""
        user = deps.users.get(id)
        if user is None and await deps.user_view.refresh():
            user = deps.users.get(id)
        if user is None:
            raise NotFoundError(f"There is no user {id}.")
        return _shown(user)

    @routes.get("/api/me", openapi_extra={"security": [{"bearer": []}, {"session": []}]})
    async def get_me(deps: TheDeps, principal: Annotated[Principal, requires()]) -> Me:
        """Who is calling, and what they may do."""
        user = deps.users.get(principal.user_id or 0)
        if user is None:
            raise UnauthorizedError("The user is not known.")
        return Me(
            user=_shown(user),
            principal=PrincipalAnswer(id=principal.id, kind=principal.kind),
            scopes=sorted(principal.scopes),
        )

    return routes


def _shown(user: UserState) -> User:
    return User.model_validate(user.model_dump(exclude={"epoch", "credential_version"}))
