"""Secrets in fields and types where they are refused: the refusals must not say them."""

import json
from typing import Any
from uuid import uuid4

from tests.e2e.driving import Driven, smtp_provider


def wrong_input(driven: Driven) -> None:
    """Secrets in fields and types where they are refused, and in bodies that cannot be read at all."""
    canaries = driven.canaries
    text, key = canaries.text("refused"), canaries.key("refused")
    relay = {"host": "h.example", "port": 25}
    providers, first = "/api/email-providers", "/api/email-providers/1"
    blocks: list[Any] = [
        text,
        [text],
        {**relay, "username": "u", "password": [text]},
        {**relay, "username": "u", "password": {"value": text}},
        {**relay, "username": ["u"], "password": text},
        {**relay, "username": "u", "password": text + "x" * 2_000},
        {**relay, "username": "u", "password": text + "\r\n"},
        {**relay, "username": text},
        {**relay, "port": text},
        {**relay, "port": "x", "username": "u", "password": text},
        {**relay, "encryption": text},
        {**relay, "accept_invalid_certs": text, "username": "u", "password": text},
        {"host": f"https://user:{text}@h.example/", "port": 25},
        {**relay, "passwort": text},
    ]
    for block in blocks:
        driven.refused("POST", providers, smtp_provider("wrong", block))
        driven.refused("PATCH", first, {"smtp_credentials": block})
    ses = {"access_key_id": key, "secret_access_key": key}
    ses_provider = {"name": "wrong", "provider_type": "ses", "region": "eu-west-1"}
    scaleway_provider = {"name": "wrong", "provider_type": "scaleway", "region": "fr-par"}
    relay_provider = smtp_provider("wrong", {**relay, "username": "u", "password": text})
    others: list[dict[str, Any]] = [
        {**relay_provider, "max_connections": 0},
        {**relay_provider, "name": ""},
        {**relay_provider, "provider_type": text},
        {"name": "wrong", "provider_type": "ses", "ses_credentials": ses},
        {"name": "wrong", "provider_type": "smtp", "ses_credentials": ses},
        {**ses_provider, "ses_credentials": {**ses, "secret_access_key": f"{key} {key}"}},
        {**ses_provider, "ses_credentials": {**ses, "endpoint_url": f"https://user:{key}@h.example"}},
        {**ses_provider, "ses_credentials": {**ses, "endpoint_url": f"https://h.example/?key={key}"}},
        {**scaleway_provider, "scaleway_credentials": {"api_key": key, "project_id": key}},
        {**scaleway_provider, "scaleway_credentials": {"api_key": [key], "project_id": str(uuid4())}},
        {"name": "wrong", "secret": text},
    ]
    for body in others:
        driven.refused("POST", f"{providers}?verify=false", body)
        driven.refused("PATCH", first, body)
    whole = json.dumps(smtp_provider("wrong", {**relay, "username": "u", "password": text})).encode()
    for data, kind in (
        (whole[:-3], "application/json"),
        (whole.replace(b'"port": 25', b'"port": 25,,'), "application/json"),
        (whole, "text/plain"),
        (whole, "application/x-www-form-urlencoded"),
        (f"password={text}".encode(), "application/json"),
        (b"[" * 5_000 + whole, "application/json"),
        (whole + b" " * 2_000_000, "application/json"),
        (b"\xff" + whole, "application/json"),
    ):
        for method, path in (("POST", providers), ("PATCH", first), ("POST", "/api/emails"), ("POST", "/api/session")):
            driven.refused(method, path, data, headers={"Content-Type": kind})
    for query in (f"?verify={key}", f"?page_size={key}", f"?api_key={key}", f"?password={key}"):
        safe = query.replace("+", "%2B")
        driven.refused("GET", f"/api/emails{safe}", None)
        driven.refused("POST", f"{providers}{safe}", smtp_provider("wrong", relay))
    email = {"from": "a@b.example", "to": "c@d.example", "subject": "s", "text": "t"}
    driven.refused("POST", "/api/emails", {**email, "smtp": {"password": text}})
    driven.refused("POST", "/api/email-domains", {"provider_id": text, "domain": "x.example"})
    driven.refused("POST", f"{first}/test", {"from": "a@b.example", "password": text})
