"""Hits on disk while JetStream cannot take them, and their replay."""
