"""Providers, their encrypted credentials, sending domains."""
