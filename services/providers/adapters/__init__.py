"""What the handlers need from outside: stored secrets and relays."""
