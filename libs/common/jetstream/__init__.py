"""The door to NATS: facts, contents and work in JetStream; nothing else imports nats-py."""
