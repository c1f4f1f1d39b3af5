"""Views in memory, folded from facts."""
