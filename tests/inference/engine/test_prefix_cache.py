"""Computed prompts are found again, counted exactly, never shared where they must not be, and bounded."""

from pathlib import Path

import torch

from inference.checkpoints import gguf_config, gguf_file
from inference.engine import Engine
from inference.engine.model_runner import ModelRunner
from inference.model import llama
from inference.model.weights import Weights
from tests.inference.engine.driving import prompt, run, sequence


def test_a_conversation_s_next_turn_finds_what_the_last_one_computed(tiny: Engine) -> None:
    first = run(tiny, sequence("a", prompt(1, 60), max_tokens=10))["a"]
    history = [*prompt(1, 60), *first.token_ids]
    second = run(tiny, sequence("b", [*history, *prompt(2, 30)]))["b"]
    assert first.num_cached_tokens == 0
    # The last token drawn was never computed.
    assert second.num_cached_tokens == len(history) - 1
    fresh = run(tiny, sequence("c", [*history, *prompt(2, 30)], salt="fresh"))["c"]
    assert (fresh.num_cached_tokens, fresh.token_ids) == (0, second.token_ids)


def test_the_same_prompt_again_computes_its_last_two_tokens_only(tiny: Engine) -> None:
    answers = [run(tiny, sequence("a", prompt(1, 80)))["a"] for _ in range(2)]
    assert answers[1].num_cached_tokens == 78
    assert answers[1].token_ids == answers[0].token_ids


def test_a_shared_beginning_is_copied_and_its_owner_kept(tiny: Engine) -> None:
    system = prompt(5, 40)
    run(tiny, sequence("a", [*system, *prompt(6, 100)], max_tokens=1))
    other = run(tiny, sequence("b", [*system, *prompt(7, 20)], max_tokens=1))["b"]
    owner = run(tiny, sequence("c", [*system, *prompt(6, 100)], max_tokens=1))["c"]
    assert (other.num_cached_tokens, owner.num_cached_tokens) == (40, 138)


def test_nothing_is_shared_between_salts(tiny: Engine) -> None:
    run(tiny, sequence("a", prompt(1, 80), salt="alice"))
    assert run(tiny, sequence("b", prompt(1, 80), salt="bob"))["b"].num_cached_tokens == 0


def test_an_aborted_prompt_is_found_as_far_as_it_was_computed(tiny: Engine) -> None:
    tiny.add(sequence("a", prompt(1, 400)))
    tiny.step()
    tiny.abort("a")
    assert run(tiny, sequence("b", prompt(1, 400)))["b"].num_cached_tokens == 256


def test_memory_stays_within_the_budget_and_every_sequence_ends(tiny_path: Path) -> None:
    engine = small_engine(tiny_path, budget_tokens=1024)
    asked = [sequence(str(i), prompt(i, 150), max_tokens=250) for i in range(6)]
    for each in asked:
        engine.add(each)
    ended: dict[str, str] = {}
    most_used = 0
    while engine.has_work():
        ended |= {o.sequence_id: o.finish_reason for o in engine.step() if o.finish_reason}
        state = engine.describe()
        most_used = max(most_used, state["cache_tokens_used"] + state["cache_tokens_kept"])
    assert ended == {str(i): "length" for i in range(6)}
    assert 512 < most_used <= 1024


def test_a_sequence_whose_memory_was_taken_answers_as_if_it_had_kept_it(tiny_path: Path) -> None:
    asked = [(str(i), prompt(i, 150)) for i in range(4)]
    roomy, tight = (small_engine(tiny_path, budget_tokens=budget) for budget in (8192, 1024))
    expected = run(roomy, *(sequence(id_, ids, max_tokens=120) for id_, ids in asked))
    answers = run(tight, *(sequence(id_, ids, max_tokens=120) for id_, ids in asked))
    assert answers == expected


def small_engine(path: Path, *, budget_tokens: int) -> Engine:
    """fp32, where a token's numbers are the same however it was computed but for the last digits."""
    file = gguf_file.read(path)
    model_config = gguf_config.read(file)
    weights = Weights(file, "fp32")
    model = llama.load(weights, model_config, max_context_tokens=512, on_progress=lambda share: None)
    runner = ModelRunner(model, kernel="fp32", dtype=torch.float32)
    return Engine(runner, max_context_tokens=512, budget_tokens=budget_tokens)
