"""Libraries that most installations never need, imported when they are: in a thread, for it would hold the loop."""

import asyncio
from importlib import import_module

_loaded: set[str] = set()


async def load(module: str) -> None:
    """After this, an `import` of this module of ours and of all that it imports is only a lookup."""
    if module not in _loaded:
        # Those who come meanwhile wait at the module's own lock, and never see half of it.
        await asyncio.to_thread(import_module, module)
        _loaded.add(module)
