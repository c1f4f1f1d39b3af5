"""Edges: the public ASGI application and the gateway's own routes."""
