"""What happens to a hit between the answer and the log."""
