"""The backends of one process: one for each model and event loop, kept for its connections."""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

from inference.backends.base import ChatBackend
from webapp.catalog import backends
from webapp.catalog.backends import Recipe
from webapp.catalog.models import ServedModel

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Recipe, ChatBackend]] = WeakKeyDictionary()


def backend_of(model: ServedModel) -> ChatBackend:
    """Raises BackendUnavailable when the model lacks its key, script or address."""
    return _kept(backends.recipe_of(model), lambda: backends.backend_for(model))


def own_backend_of(model: ServedModel) -> ChatBackend:
    """As `backend_of`, without the upstreams that stand in for the model's own backend."""
    return _kept(("own", *backends.recipe_of(model)), lambda: backends.own_backend_for(model))


def _kept(recipe: Recipe, make: Callable[[], ChatBackend]) -> ChatBackend:
    pool = _pools.setdefault(asyncio.get_running_loop(), {})
    if recipe not in pool:
        pool[recipe] = make()
    return pool[recipe]
