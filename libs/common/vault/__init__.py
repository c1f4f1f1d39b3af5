"""Key rings, the secrets encrypted under them, and their rotation."""
