"""The backends of one process: one for each model and event loop, kept for its connections."""

import asyncio
from weakref import WeakKeyDictionary

from inference.backends.base import ChatBackend
from webapp.catalog import backends
from webapp.catalog.backends import Recipe
from webapp.catalog.models import ServedModel

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Recipe, ChatBackend]] = WeakKeyDictionary()


def backend_of(model: ServedModel) -> ChatBackend:
    """Raises BackendUnavailable when the model lacks its key, script or address."""
    pool = _pools.setdefault(asyncio.get_running_loop(), {})
    recipe = backends.recipe_of(model)
    if recipe not in pool:
        pool[recipe] = backends.backend_for(model)
    return pool[recipe]
