"""API keys, users and sessions: who may call what."""
