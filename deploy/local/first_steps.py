"""What a new home gets beyond running processes: the provider "Local inbox", and words on how to begin."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from deploy.local.stack import LOOPBACK, Plan

NAME = "Local inbox"
TRIES = 20
PAUSE = 0.5

FIRST_EMAIL = {
    "from": "Shop <hello@shop.example>",
    "to": "you@example.com",
    "subject": "Hello",
    "html": '<p>Hello! <a href="https://example.com/">Look</a></p>',
    "text": "Hello! https://example.com/",
    "track_opens": True,
    "track_clicks": True,
}


async def ensure_local_inbox(plan: Plan, say: Callable[[str], None]) -> None:
    """Creates the provider once per home. One that was deleted later is not made again: its id is on file."""
    file = plan.home / "inbox-provider"
    if file.exists():
        return
    for _ in range(TRIES):
        try:
            provider_id = await asyncio.to_thread(_find_or_create, plan)
        except (
            OSError,
            ValueError,
        ) as error:  # also urllib's HTTPError: what was done shows in the next look
            problem = error
            await asyncio.sleep(PAUSE)
            continue
        file.write_text(f"{provider_id}\n")
        say(f"provider {NAME!r} ({provider_id}) takes all mail that no other provider is registered for")
        return
    say(f"provider {NAME!r} could not be created ({problem}); the next start tries again")


async def stored_login(plan: Plan) -> str:
    """The first user's address as it is stored: TEMPS_ADMIN_EMAIL counts at the first start only."""
    try:
        user = await asyncio.to_thread(_call, plan, "GET", path="/api/users/1")
    except (OSError, ValueError):  # the first key may have been revoked since, or the gateway is not ready
        return "the first user's address"
    email = str(user["email"])
    wanted = plan.caller.get("TEMPS_ADMIN_EMAIL")
    different = wanted is not None and wanted.strip().lower() != email.lower()
    return f"{email} (TEMPS_ADMIN_EMAIL counts at the first start only)" if different else email


def summary(plan: Plan, login: str) -> str:
    """The welcome text: URL, login, and the README's first call with the key filled in."""
    url, key = plan.gateway_url, plan.credentials.api_key.read_text().strip()
    body = json.dumps(FIRST_EMAIL, indent=2).replace("\n", "\n  ")
    return f"""
  API        {url}/api
  docs       {url}/docs
  login      {login} / {plan.credentials.admin_password.read_text().strip()}
  API key    {key}
  inbox      {url}/api/local-inbox (SMTP on port {plan.ports["inbox-smtp"]})

  Send a first email:

  curl -sS {url}/api/emails \\
    -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{body}'

  Ctrl-C stops everything; in another terminal: make status, make logs, make demo
"""


def _find_or_create(plan: Plan) -> int:
    """The id of the inbox's provider. Looks first: an earlier try may have succeeded unheard."""
    for provider in _call(plan, "GET"):
        if provider["name"] == NAME and provider["is_local_inbox"]:
            return int(provider["id"])
    smtp = {"host": LOOPBACK, "port": plan.ports["inbox-smtp"], "encryption": "none"}
    wanted = {"name": NAME, "provider_type": "smtp", "smtp_credentials": smtp, "is_default": True}
    return int(_call(plan, "POST", wanted)["id"])


def _call(plan: Plan, method: str, body: object = None, *, path: str = "/api/email-providers") -> Any:
    request = urllib.request.Request(  # noqa: S310 - our own loopback URL
        f"{plan.gateway_url}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {plan.credentials.api_key.read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{method} answered {error.code}: {error.read(300).decode(errors='replace')}") from None
