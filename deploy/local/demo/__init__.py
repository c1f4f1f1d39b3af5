"""What the system does, shown in a minute: sent, delivered, opened, clicked, refused, deferred."""
