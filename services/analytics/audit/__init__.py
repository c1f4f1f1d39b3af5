"""The audit trail: its read model, its query and its route."""
