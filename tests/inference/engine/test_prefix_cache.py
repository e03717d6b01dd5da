"""Computed prompts are found again, counted exactly, never shared where they must not be, and bounded."""

from inference.engine import Engine
from inference.engine.scheduler import SchedulerLimits
from tests.inference.engine.conftest import LoadTiny
from tests.inference.engine.driving import prompt, run, sequence


def test_a_conversation_s_next_turn_finds_the_full_blocks_of_the_last_one(tiny: Engine) -> None:
    first = run(tiny, sequence("a", prompt(1, 120), max_tokens=12))["a"]
    history = [*prompt(1, 120), *first.token_ids]
    second = run(tiny, sequence("b", [*history, *prompt(2, 30)]))["b"]
    assert (first.num_cached_tokens, second.num_cached_tokens) == (0, 128)
    fresh = run(tiny, sequence("c", [*history, *prompt(2, 30)], salt="fresh"))["c"]
    assert (fresh.num_cached_tokens, fresh.token_ids) == (0, second.token_ids)


def test_of_the_same_prompt_again_a_token_at_least_is_computed(tiny: Engine) -> None:
    answers = [run(tiny, sequence("a", prompt(1, 128)))["a"] for _ in range(2)]
    assert answers[1].num_cached_tokens == 64
    assert answers[1].token_ids == answers[0].token_ids
    assert run(tiny, sequence("a", prompt(1, 130)))["a"].num_cached_tokens == 128


def test_sequences_with_one_beginning_compute_it_once_when_they_come_together(tiny: Engine) -> None:
    asked = [sequence(str(i), [*prompt(1, 200), *prompt(i, 10)]) for i in range(4)]
    alone = [
        run(tiny, sequence("x", each.prompt_ids, salt=f"alone {each.id}"))["x"].token_ids for each in asked
    ]
    before = tiny.describe()["prompt_tokens_total"]
    answers = run(tiny, *asked)
    assert tiny.describe()["prompt_tokens_total"] - before == 210 + 3 * (210 - 192)
    assert [answers[str(i)].num_cached_tokens for i in range(4)] == [0, 192, 192, 192]
    assert [answers[str(i)].token_ids for i in range(4)] == alone


def test_nothing_is_shared_between_salts(tiny: Engine) -> None:
    run(tiny, sequence("a", prompt(1, 80), salt="alice"))
    assert run(tiny, sequence("b", prompt(1, 80), salt="bob"))["b"].num_cached_tokens == 0


def test_an_aborted_prompt_is_found_as_far_as_its_numbers_are_proven(load_tiny: LoadTiny) -> None:
    engine = load_tiny(limits=SchedulerLimits(step_tokens=100, step_s=None))
    engine.add(sequence("a", prompt(1, 450)))
    for _ in range(4):
        engine.step()
    engine.abort("a")
    # Logits were computed after 300 tokens, and after 400 not yet.
    assert run(engine, sequence("b", prompt(1, 450)))["b"].num_cached_tokens == 256


def test_memory_stays_within_the_pool_and_every_sequence_ends(load_tiny: LoadTiny) -> None:
    engine = load_tiny(num_blocks=16)
    for number in range(6):
        engine.add(sequence(str(number), prompt(number, 150), max_tokens=250))
    ended: dict[str, str] = {}
    most_used = 0
    while engine.has_work():
        ended |= {o.sequence_id: o.finish_reason for o in engine.step() if o.finish_reason}
        most_used = max(most_used, engine.describe()["num_blocks_used"])
    assert ended == {str(i): "length" for i in range(6)}
    assert 12 < most_used <= 16
    assert engine.describe()["preemptions_total"] > 0


def test_a_sequence_whose_memory_was_taken_answers_as_if_it_had_kept_it(load_tiny: LoadTiny) -> None:
    asked = [(str(i), prompt(i, 150)) for i in range(4)]
    roomy, tight = (load_tiny(num_blocks=num_blocks) for num_blocks in (128, 16))
    expected = run(roomy, *(sequence(id_, ids, max_tokens=120) for id_, ids in asked))
    answers = run(tight, *(sequence(id_, ids, max_tokens=120) for id_, ids in asked))
    assert answers == expected
    assert tight.describe()["preemptions_total"] > 0
