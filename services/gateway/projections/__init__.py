"""Keys and users in memory, folded from facts."""
