"""The backends of one process: one for each model and event loop, kept for its connections."""

import asyncio
from weakref import WeakKeyDictionary

from inference.backends.base import ChatBackend
from webapp.catalog import backends
from webapp.catalog.models import ServedModel

# What a backend is made from: after an edit in the admin, the next request gets a new one.
Recipe = tuple[int, str, str, str, str, str, str]

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Recipe, ChatBackend]] = WeakKeyDictionary()


def backend_of(model: ServedModel) -> ChatBackend:
    """Raises BackendUnavailable when the model lacks its key, script or address."""
    pool = _pools.setdefault(asyncio.get_running_loop(), {})
    recipe = (
        model.pk,
        model.backend,
        model.upstream_name,
        model.base_url,
        model.api_key_env,
        model.thinking_dialect,
        model.output_parser,
    )
    if recipe not in pool:
        pool[recipe] = backends.backend_for(model)
    return pool[recipe]
