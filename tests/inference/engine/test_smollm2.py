"""A real model through the seam."""

import pytest

from inference import engine as engines
from inference.engine import Engine
from tests.inference import model_files
from tests.inference.engine.driving import run, sequence
from tests.inference.model.test_logits import SMOLLM2_IDS

QUESTION = SMOLLM2_IDS[:16]
ANSWER = SMOLLM2_IDS[16:23]  # "The capital of France is Paris."
END = 2


@pytest.fixture(scope="module")
def smollm2() -> Engine:
    progress: list[float] = []
    engine = engines.load(model_files.smollm2(), on_progress=progress.append, max_context_tokens=1024)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    return engine


def test_it_answers_and_stops(smollm2: Engine) -> None:
    answer = run(smollm2, sequence("a", QUESTION, max_tokens=40, stop_ids=[END]))["a"]
    assert (answer.token_ids, answer.finish_reason) == (ANSWER, "stop")


def test_it_answers_the_same_in_company_and_in_chunks(smollm2: Engine) -> None:
    prompts = [SMOLLM2_IDS[:12] * repeats + QUESTION for repeats in (0, 3, 25)]
    alone = [
        run(smollm2, sequence("a", ids, max_tokens=16, salt=f"alone {len(ids)}"))["a"].token_ids
        for ids in prompts
    ]
    together = run(
        smollm2, *(sequence(str(i), ids, max_tokens=16, salt=f"b {i}") for i, ids in enumerate(prompts))
    )
    assert [together[str(i)].token_ids for i in range(3)] == alone


def test_it_says_what_it_is(smollm2: Engine) -> None:
    described = smollm2.describe()
    assert described["architecture"] == "llama"
    assert described["max_context_tokens"] == 1024
    assert described["kernel"].startswith("native") or described["self_test"].startswith("no native")
