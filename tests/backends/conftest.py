"""Stands on which the backends are tried."""

from collections.abc import AsyncIterator

import pytest

from tests.backends import stands
from tests.backends.stands import LocalStand, ProviderStand, Stand


@pytest.fixture(params=stands.STANDS)
async def stand(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Stand]:
    """Each backend in turn."""
    async with stands.STANDS[request.param](redis_url) as built:
        yield built


@pytest.fixture
async def local(redis_url: str) -> AsyncIterator[LocalStand]:
    async with stands.local_stand(redis_url) as built:
        yield built


@pytest.fixture
async def provider(redis_url: str) -> AsyncIterator[ProviderStand]:
    async with stands.provider_stand(redis_url) as built:
        yield built
