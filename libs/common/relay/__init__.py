"""Relays: the port that sender and providers speak to, and one adapter per kind of provider."""
