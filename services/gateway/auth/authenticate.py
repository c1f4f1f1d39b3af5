"""Authenticates a request by API key or session cookie, and signs the principal that services see."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from libs.common import apikey
from libs.common.errors import TempsError, UnauthorizedError, UnavailableError
from libs.common.facts.key import KeyState
from libs.common.facts.user import UserState
from libs.common.web.principal import LIFETIME, Principal, sign
from services.gateway.auth import scope_rules as scopes
from services.gateway.auth.session_rules import Session, unseal
from services.gateway.ports import Freshness, KeyRegister, UserRegister

READ_SILENCE = 300.0
WRITE_SILENCE = 30.0
"""A revocation may be on its way while the log is silent: writing ends soon, reading later (docs/architecture.md)."""

_SIGNED_FOR = 5.0
_REMEMBERED = 4_096
_BEARER = b"bearer "

HOW = (
    "Send your API key as: Authorization: Bearer tk_… "
    "The first key was printed when the system started and is in the file api-key of TEMPS_HOME (.local/api-key); "
    "more are made with POST /api/api-keys."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """`header` is the principal, signed; `session` is set when a cookie said who it is."""

    header: bytes
    principal: Principal
    session: Session | None = None


@dataclass(slots=True)
class RevokedSessions:
    """Sessions that were logged out of here, until they would have ended anyway."""

    _until: dict[str, int] = field(default_factory=dict)

    def add(self, session: Session, now: float) -> None:
        """`now` is Unix time."""
        self._until = {id_: expiry for id_, expiry in self._until.items() if expiry > now}
        self._until[session.id] = session.expiry

    def __contains__(self, session_id: str) -> bool:
        """True if the session was logged out."""
        return session_id in self._until


@dataclass(slots=True)
class Authenticator:
    """Keys and users are views in memory; nothing is asked of anybody unless the answer would be no."""

    keys: KeyRegister
    users: UserRegister
    key_view: Freshness
    user_view: Freshness
    principal_key: bytes = field(repr=False)
    session_key: bytes = field(repr=False)
    revoked: RevokedSessions = field(default_factory=RevokedSessions)
    now: Callable[[], float] = time.time
    _signed: dict[tuple[object, ...], tuple[float, object, UserState | None, Caller]] = field(
        default_factory=dict, repr=False
    )

    async def authenticate(
        self, authorization: bytes | None, cookie: str | None, *, writes: bool, ip: str | None, user_agent: str | None
    ) -> Caller:
        """Raises UnauthorizedError, or UnavailableError when it cannot be known now."""
        self._check_silence(writes=writes)
        if authorization is not None:
            key = _bearer(authorization)
            state = self.keys.by_sha256(sha256 := apikey.digest(key))
            if state is None:
                if not apikey.is_well_formed(key):
                    raise UnauthorizedError("The API key is not complete: its checksum does not hold.", suggestion=HOW)
                await self._refresh(self.key_view)
                state = self.keys.by_sha256(sha256)
            return await self._of_key(state, ip, user_agent)
        if cookie is not None:
            return await self._of_session(cookie, ip, user_agent)
        raise UnauthorizedError("No API key was sent.", suggestion=HOW)

    def anonymous(self, ip: str | None, user_agent: str | None) -> Caller:
        """An anonymous caller on a public route."""
        who = ("anonymous", ip, user_agent)
        return self._known(who, None, None) or self._sign(who, None, None, "anonymous", "anonymous", frozenset())

    async def _of_key(self, state: KeyState | None, ip: str | None, user_agent: str | None) -> Caller:
        if state is None:
            raise UnauthorizedError("The API key is not known, or was revoked.", suggestion=HOW)
        if state.expires_at is not None and state.expires_at.timestamp() <= self.now():
            raise UnauthorizedError("The API key has expired.", suggestion=HOW)
        user = await self._user(state.user_id)
        who = (state.id, ip, user_agent)
        return self._known(who, state, user) or self._sign(
            who, state, user, f"key/{state.id}", "key", scopes.effective(state.scopes, user.role)
        )

    async def _of_session(self, cookie: str, ip: str | None, user_agent: str | None) -> Caller:
        session = unseal(cookie, self.session_key, now=self.now())
        if session is None or session.id in self.revoked:
            raise UnauthorizedError("The session is over: log in again with POST /api/session.", suggestion=HOW)
        user = await self._user(session.user)
        if user.epoch != session.epoch:
            raise UnauthorizedError("The session was ended: log in again with POST /api/session.", suggestion=HOW)
        who = (session.id, ip, user_agent)
        return self._known(who, session, user) or self._sign(
            who, session, user, f"user/{user.id}", "session", scopes.ROLES[user.role]
        )

    async def _user(self, user_id: int) -> UserState:
        user = self.users.get(user_id)
        if user is None:
            await self._refresh(self.user_view)
            user = self.users.get(user_id)
        if user is None or not user.is_active:
            raise UnauthorizedError("The user is not known, or was deactivated.")
        return user

    def _known(self, who: tuple[object, ...], state: object, user: UserState | None) -> Caller | None:
        """Signing costs more than all else here, so a signature serves for some seconds of its sixty."""
        known = self._signed.get(who)
        if (
            known is not None
            and known[0] > self.now()
            and known[2] is user
            and (known[1] is state or known[1] == state)
        ):
            return known[3]
        return None

    def _sign(
        self,
        who: tuple[object, ...],
        state: object,
        user: UserState | None,
        id_: str,
        kind: str,
        allowed: frozenset[str],
    ) -> Caller:
        now = self.now()
        ip, user_agent = cast("tuple[str | None, str | None]", who[1:])
        principal = Principal(
            id_, kind, None if user is None else user.id, allowed, ip, user_agent, round(now + LIFETIME, 3)
        )
        caller = Caller(
            header=sign(principal, self.principal_key).encode("ascii"),
            principal=principal,
            session=state if isinstance(state, Session) else None,
        )
        if len(self._signed) >= _REMEMBERED:
            self._signed.clear()
        self._signed[who] = (now + _SIGNED_FOR, state, user, caller)
        return caller

    def _check_silence(self, *, writes: bool) -> None:
        for view in (self.key_view, self.user_view):
            if not view.is_caught_up:
                raise UnavailableError("The gateway has not read its keys yet.", slug="not_caught_up")
            if view.silent_for > (WRITE_SILENCE if writes else READ_SILENCE):
                raise UnavailableError("NATS has been silent for too long: the key may have been revoked.")

    async def _refresh(self, view: Freshness) -> None:
        if not await view.refresh():
            raise UnavailableError("Whether this key is known cannot be said at the moment.", slug="not_caught_up")


def _bearer(authorization: bytes) -> str:
    if authorization[:7].lower() != _BEARER:
        raise TempsError("Only the scheme Bearer is known here.", slug="unauthorized", suggestion=HOW)
    return authorization[7:].strip().decode("latin-1")
