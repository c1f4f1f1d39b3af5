"""A first email, sent and read back by a client that openapi-python-client made: `python journey.py <url> <key>`."""

import json
import sys
import time
from uuid import UUID

from temps_api_client import AuthenticatedClient
from temps_api_client.api.emails import get_email, get_email_timeline, list_emails, send_email
from temps_api_client.api.providers import create_email_provider, list_email_providers, update_email_provider
from temps_api_client.models import CreateProvider, Email, Problem, SendEmail, SmtpCredentials, UpdateProvider

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)

wanted = CreateProvider(
    name="Python",
    provider_type="smtp",
    smtp_credentials=SmtpCredentials(host="127.0.0.1", port=2526, encryption="none"),
)
provider = create_email_provider.sync(client=client, body=wanted, verify=False)
# The first provider of one's own becomes the default; the bundled inbox shall be it again.
(inbox,) = [each for each in list_email_providers.sync(client=client) if each.is_local_inbox]
update_email_provider.sync(inbox.id, client=client, body=UpdateProvider(is_default=True))
body = SendEmail(from_="Shop <hello@py.example>", to="you@example.com", subject="From Python", text="Hello")
sent = send_email.sync(client=client, body=body)
deadline = time.monotonic() + 10
email = get_email.sync(sent.id, client=client)
while isinstance(email, Email) and email.status == "queued" and time.monotonic() < deadline:
    email = get_email.sync(sent.id, client=client)
listed = list_emails.sync(client=client, subject="From Python")
facts = get_email_timeline.sync(sent.id, client=client)
missing = get_email.sync_detailed(UUID("00000000-0000-7000-8000-000000000000"), client=client)
assert isinstance(missing.parsed, Problem)

print(
    json.dumps(
        {
            "provider": provider.provider_type,
            "accepted": sent.status,
            "status": email.status,
            "recipient": email.recipients[0].address,
            "total": listed.total,
            "facts": [fact.type_ for fact in facts],
            "missing": [missing.status_code, missing.parsed.error_code],
        }
    )
)
