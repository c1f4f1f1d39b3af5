"""A mailbox for trying things out: it takes all mail, misbehaves on request, and shows what arrived."""
