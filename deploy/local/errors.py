"""An error that the person at the terminal can act on: printed without a traceback."""


class LocalError(Exception):
    """Something about this machine or this home that stops the command; its text says what to do."""
