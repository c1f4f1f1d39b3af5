"""How the parts are put together and started; nothing here is imported by a service."""
