"""What comes back: opens and clicks."""
