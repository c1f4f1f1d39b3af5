"""Exact totals of lists from maintained counters."""
