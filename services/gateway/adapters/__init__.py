"""What talks to others: services over HTTP, secrets in JetStream."""
