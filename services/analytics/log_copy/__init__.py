"""The second copy of the log, which `make verify-log` compares with the first."""
