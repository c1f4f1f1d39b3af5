"""From a message of the queue to the fact that ends the attempt; begin with `decide.py`."""
