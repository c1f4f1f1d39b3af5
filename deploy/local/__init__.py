"""The whole system on one machine: no Docker, no root, two commands."""
