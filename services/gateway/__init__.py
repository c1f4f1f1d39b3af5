"""The front door: authenticates requests, limits them, and forwards them to the services."""
