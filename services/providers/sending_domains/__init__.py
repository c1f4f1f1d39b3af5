"""Sending domains: registration at the provider, and their DNS records."""
