"""From a request on the wire to the service that answers it, and back."""
