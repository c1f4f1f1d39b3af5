"""The contract (facts) and the loops that every service shares."""
