"""The rules about hits, free of clock, network and framework."""
