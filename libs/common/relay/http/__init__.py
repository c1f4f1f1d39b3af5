"""The HTTP client that all providers with an API share."""
