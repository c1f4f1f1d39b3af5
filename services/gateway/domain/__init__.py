"""Rules without a clock or a network."""
