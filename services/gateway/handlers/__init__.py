"""What the gateway does: tell callers apart, forward, issue keys and sessions."""
