"""The data plane's way to the database: Django's ORM on a few threads of its own, each with its connection.

Django's own async bridge runs all of a process's ORM calls on one thread; a stream of requests needs several.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

NUM_THREADS = 8

_threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="data-plane")


async def run(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Call the function on one of the threads. A broken connection is not used again."""
    call = partial(_call, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def _call(function: Callable[[], Result]) -> Result:
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()
