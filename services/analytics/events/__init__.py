"""Tracking events and the platform's figures: the read model, its queries and its routes."""
