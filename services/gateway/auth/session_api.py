"""`/api/session`: log in with a password, log out here or everywhere."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from libs.common.errors import UnauthorizedError
from libs.common.web import RequestModel, requires, router, set_position
from libs.common.web.principal import Principal
from services.gateway.auth.login import log_out_everywhere
from services.gateway.auth.passwords import MAX_PASSWORD
from services.gateway.auth.session_rules import LIFETIME, Session, seal, set_cookie
from services.gateway.context import TheDeps


class LogIn(RequestModel):
    """Address and password."""

    email: Annotated[str, Field(min_length=1, max_length=320)]
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD, repr=False)]


def session_routes() -> APIRouter:
    """The routes."""
    routes = router()

    @routes.post(
        "/api/session",
        status_code=204,
        openapi_extra={
            "security": [],
            "requestBody": {
                "content": {
                    "application/json": {"example": {"email": "admin@temps.localhost", "password": "YOUR_PASSWORD"}}
                }
            },
        },
    )
    async def create_session(
        body: LogIn, response: Response, deps: TheDeps, principal: Annotated[Principal, requires()]
    ) -> None:
        """Log in; the answer sets the session's cookie."""
        session = await deps.login.log_in(body.email, body.password, ip=principal.ip, now=deps.now().timestamp())
        cookie = set_cookie(seal(session, deps.session_key), secure=deps.is_secure, max_age=LIFETIME)
        response.headers["Set-Cookie"] = cookie
        response.headers["Cache-Control"] = "no-store"

    only_session: dict[str, Any] = {"security": [{"session": []}]}

    @routes.delete("/api/session", status_code=204, openapi_extra=only_session)
    async def delete_session(
        request: Request,
        response: Response,
        deps: TheDeps,
        principal: Annotated[Principal, requires()],
        everywhere: Annotated[bool, Query(description="End all sessions of this user.")] = False,  # noqa: FBT002
    ) -> None:
        """Log out here, or everywhere."""
        session: Session | None = request.scope.get("temps.session")
        if session is None:
            raise UnauthorizedError("There is no session to end: it is the cookie that says which.")
        if everywhere:
            stored = await deps.write(
                deps.user_view,
                lambda: log_out_everywhere(deps.users.get(session.user), deps.now()),
                principal=principal,
                request=request,
            )
            set_position(response, "user", stored.sequence)
        deps.revoked.add(session, deps.now().timestamp())
        response.headers["Set-Cookie"] = set_cookie("", secure=deps.is_secure, max_age=0)

    return routes
