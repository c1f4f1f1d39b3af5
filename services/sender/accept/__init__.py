"""From `POST /api/emails` to the accepted fact."""
