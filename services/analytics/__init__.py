"""Read models and the questions they answer."""
