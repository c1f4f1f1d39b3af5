"""Emails and their recipients: the read model, its queries and its routes."""
