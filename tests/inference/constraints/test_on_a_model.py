"""A real model keeps to generated schemas; the whole thousand is `python -m inference.bench.constrained`."""

import pytest
from django.conf import settings

from inference import registry
from inference.bench import constrained


@pytest.mark.slow
def test_calls_of_the_small_model_are_valid() -> None:
    path = registry.load()["smollm2"].path(settings.MODELS_DIR)
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand: python manage.py models pull smollm2")
    verdicts = constrained.judge(path, first=0, count=12, num_threads=2)
    assert verdicts["invalid"] == 0
    assert verdicts["valid"] >= 5, "the others were cut: a small model may go on for ever"
