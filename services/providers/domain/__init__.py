"""The rules about providers and domains, free of clock, network and framework."""
