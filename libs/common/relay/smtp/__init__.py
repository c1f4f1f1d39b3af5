"""SMTP relays."""
