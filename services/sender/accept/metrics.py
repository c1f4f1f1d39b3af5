"""Metrics of the HTTP side."""

from prometheus_client import Counter

ACCEPTED = Counter("temps_emails_accepted_total", "Emails whose fact is in the log", ["status"])
