"""The sender's rules: pure, no clock, no network, no framework."""
