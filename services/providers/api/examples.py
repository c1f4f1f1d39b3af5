"""Bodies that work as they stand, for the API's description: one for each type of provider."""

from typing import Any


def body(**named: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What OpenAPI calls `examples`, as an addition to a route's description: a summary and a value by name."""
    examples = {name: {"summary": summary, "value": value} for name, (summary, value) in named.items()}
    return {"requestBody": {"content": {"application/json": {"examples": examples}}}}


CREATE_PROVIDER = body(
    smtp=(
        "An SMTP relay",
        {
            "name": "My relay",
            "provider_type": "smtp",
            "smtp_credentials": {
                "host": "smtp.example.com",
                "port": 587,
                "encryption": "starttls",
                "username": "YOUR_USER",
                "password": "YOUR_PASSWORD",
            },
        },
    ),
    ses=(
        "AWS SES (with verify=false until the key is yours)",
        {
            "name": "SES Frankfurt",
            "provider_type": "ses",
            "region": "eu-central-1",
            "ses_credentials": {"access_key_id": "YOUR_KEY", "secret_access_key": "YOUR_SECRET"},
        },
    ),
    scaleway=(
        "Scaleway (with verify=false until the key is yours)",
        {
            "name": "Scaleway Paris",
            "provider_type": "scaleway",
            "region": "fr-par",
            "scaleway_credentials": {"api_key": "YOUR_KEY", "project_id": "00000000-0000-0000-0000-000000000000"},
        },
    ),
)
UPDATE_PROVIDER = body(
    rename=("Another name", {"name": "Main relay"}),
    pace=("Ten emails a second over two connections", {"max_connections": 2, "rate_limit_per_second": 10}),
)
TEST_PROVIDER = body(own=("From one of your domains", {"from": "hello@shop.example"}))
CREATE_DOMAIN = body(own=("A domain of yours, at the provider with id 1", {"provider_id": 1, "domain": "shop.example"}))
