"""Who is calling, may they, where does it go."""
