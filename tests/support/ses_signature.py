"""AWS' Signature Version 4, checked from its documentation and not with the library that made it."""

import hashlib
import hmac
import re

from aiohttp import web

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/ses/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]+)"
)


def why_unsigned(request: web.Request, body: bytes, access_key_id: str, secret: str) -> tuple[str, str] | None:
    """AWS' error code and words, or None when the signature is right."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        return "MissingAuthenticationTokenException", "Missing Authentication Token"
    key, day, region, names, signature = found.groups()
    if key != access_key_id:
        return "UnrecognizedClientException", "The security token included in the request is invalid."
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names.split(";"))
    hashed = hashlib.sha256(body).hexdigest()
    canonical = f"{request.method}\n{request.raw_path}\n\n{headers}\n{names}\n{hashed}"
    scope = f"{day}/{region}/ses/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", request.headers["X-Amz-Date"], scope, digest))
    derived = f"AWS4{secret}".encode()
    for part in (day, region, "ses", "aws4_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    if hmac.compare_digest(hmac.digest(derived, to_sign.encode(), "sha256").hex(), signature):
        return None
    # As AWS does, it repeats what it was sent.
    words = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access"
    )
    return "InvalidSignatureException", f"{words} Key and signing method. Credential={key}/{scope}"
