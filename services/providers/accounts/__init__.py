"""Providers: their settings, their encrypted credentials, their tests."""
