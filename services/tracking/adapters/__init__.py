"""The spool on disk."""
