"""A model with a price, and a person whose account holds little."""

from datetime import timedelta

import pytest

from webapp.accounts.models import User
from webapp.billing import seeds
from webapp.catalog.models import ServedModel

TTL = timedelta(minutes=5)


@pytest.fixture
def kimi(db: None) -> ServedModel:
    """$0.60, $0.15 cached and $2.50 per million tokens."""
    model = ServedModel.objects.create(
        name="kimi-k2-thinking",
        label="Kimi K2 Thinking",
        backend=ServedModel.Backend.OPENAI_COMPATIBLE,
        upstream_name="kimi-k2-thinking",
        context_tokens=262_144,
        max_output_tokens=65_536,
    )
    seeds.seed()
    return model


@pytest.fixture
def carol(db: None) -> User:
    """Her account was opened by her creation, with the sign-up credit of 5.00."""
    return User.objects.create_user("carol", "carol@example.com", "carol-password-1")
