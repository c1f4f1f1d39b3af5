"""One module per command; each is the command as a function."""
