"""What the engine promises through its seam: token ids in, token ids out."""

import pytest

from inference.engine import Engine, PromptTooLong, SamplingParams
from inference.engine.scheduler import SchedulerLimits
from tests.inference import tiny_model
from tests.inference.engine.conftest import LoadTiny
from tests.inference.engine.driving import GREEDY, Answer, gather, prompt, run, sequence


def test_a_sequence_ends_at_its_token_limit(tiny: Engine) -> None:
    answer = run(tiny, sequence("a", prompt(1, 20), max_tokens=5))["a"]
    assert (len(answer.token_ids), answer.finish_reason) == (5, "length")


def test_a_stop_token_ends_a_sequence_and_is_not_part_of_it(tiny: Engine) -> None:
    whole = run(tiny, sequence("a", prompt(1, 20)))["a"].token_ids
    stop_at = next(
        index for index, token_id in enumerate(whole) if index > 2 and token_id not in whole[:index]
    )
    answer = run(tiny, sequence("b", prompt(1, 20), stop_ids=[whole[stop_at]]))["b"]
    assert (answer.token_ids, answer.finish_reason) == (whole[:stop_at], "stop")


def test_sequences_run_together_answer_as_each_alone(tiny: Engine) -> None:
    sizes = (1, 5, 33, 70, 150)
    alone = [run(tiny, sequence("x", prompt(size, size), salt=str(size)))["x"].token_ids for size in sizes]
    together = run(tiny, *(sequence(str(size), prompt(size, size), salt="other") for size in sizes))
    assert [together[str(size)].token_ids for size in sizes] == alone


def test_a_prompt_read_in_chunks_answers_as_one_read_whole(load_tiny: LoadTiny) -> None:
    whole, chunked = (load_tiny(limits=SchedulerLimits(step_tokens=size, step_s=None)) for size in (400, 50))
    asked = [sequence("a", prompt(3, 300)) for _ in range(2)]
    assert run(whole, asked[0])["a"].token_ids == run(chunked, asked[1])["a"].token_ids


def test_others_go_on_while_a_long_prompt_is_read(load_tiny: LoadTiny) -> None:
    engine = load_tiny(limits=SchedulerLimits(step_tokens=48, step_s=None))
    engine.add(sequence("short", prompt(1, 5), max_tokens=40))
    gather({}, engine.step())
    engine.add(sequence("long", prompt(2, 320), max_tokens=2))
    heard = [[output.sequence_id for output in engine.step()] for _ in range(7)]
    assert heard == [["short"]] * 6 + [["short", "long"]]


def test_an_abort_ends_a_sequence_and_frees_its_memory(tiny: Engine) -> None:
    tiny.add(sequence("a", prompt(1, 100), max_tokens=300))
    tiny.add(sequence("b", prompt(2, 100), max_tokens=300))
    for _ in range(5):
        tiny.step()
    used = tiny.describe()["num_blocks_used"]
    tiny.abort("a")
    tiny.abort("nobody")
    assert {output.sequence_id for output in tiny.step()} == {"b"}
    assert tiny.describe()["num_blocks_used"] == used // 2
    tiny.abort("b")
    assert tiny.step() == []
    assert (tiny.describe()["num_blocks_used"], tiny.has_work()) == (0, False)


def test_forced_tokens_come_next_and_the_answer_goes_on_from_them(tiny: Engine) -> None:
    free = run(tiny, sequence("a", prompt(1, 20), max_tokens=9))["a"].token_ids
    engine_ids = prompt(9, 3)
    asked = sequence("b", prompt(1, 20), max_tokens=9, stop_ids=engine_ids[:1])
    tiny.add(asked)
    answers: dict[str, Answer] = {}
    gather(answers, tiny.step())
    tiny.force("b", engine_ids)
    while tiny.has_work():
        gather(answers, tiny.step())
    answer = answers["b"].token_ids
    assert answer[:4] == [*free[:1], *engine_ids]
    continued = run(tiny, sequence("c", [*prompt(1, 20), *answer[:4]], max_tokens=5))["c"]
    assert (answer[4:], len(answer)) == (continued.token_ids, 9)


def test_forced_tokens_stop_at_the_token_limit(tiny: Engine) -> None:
    tiny.add(sequence("a", prompt(1, 20), max_tokens=2))
    tiny.force("a", prompt(9, 5))
    (output,) = tiny.step()
    assert (output.token_ids, output.finish_reason) == (prompt(9, 5)[:2], "length")


def test_a_sequence_ends_where_the_context_does(load_tiny: LoadTiny) -> None:
    engine = load_tiny(max_context_tokens=100)
    answer = run(engine, sequence("a", prompt(1, 90), max_tokens=50))["a"]
    assert (len(answer.token_ids), answer.finish_reason) == (10, "length")
    with pytest.raises(PromptTooLong, match="100 tokens.*at most 99"):
        engine.add(sequence("b", prompt(1, 100)))


@pytest.mark.parametrize(("prompt_ids", "max_tokens"), [([], 5), ([1, 512], 5), ([-1], 5), ([1], 0)])
def test_a_senseless_sequence_is_refused(tiny: Engine, prompt_ids: list[int], max_tokens: int) -> None:
    with pytest.raises(ValueError, match="token"):
        tiny.add(sequence("a", prompt_ids, max_tokens=max_tokens))
    assert not tiny.has_work()


def test_numbers_that_are_not_finite_end_only_their_own_sequence(tiny: Engine) -> None:
    poisoned = [*prompt(1, 30), tiny_model.POISONED_TOKEN, *prompt(1, 5)]
    alone = run(tiny, sequence("good", prompt(2, 40)))["good"].token_ids
    answers = run(tiny, sequence("bad", poisoned), sequence("good", prompt(2, 40)))
    assert (answers["bad"].finish_reason, answers["bad"].token_ids) == ("error", [])
    assert "not finite" in answers["bad"].error
    assert answers["good"].token_ids == alone
    again = run(tiny, sequence("again", poisoned))["again"]
    assert again.num_cached_tokens == 0


def test_a_seed_brings_the_same_tokens_in_any_company(tiny: Engine) -> None:
    seeded = SamplingParams(temperature=1.3, top_p=0.95, seed=42)
    alone = run(tiny, sequence("a", prompt(1, 20), sampling=seeded, max_tokens=30))["a"].token_ids
    company = [sequence(str(i), prompt(i, 15 + i), sampling=GREEDY, max_tokens=10 * i) for i in range(2, 5)]
    asked = sequence("a", prompt(1, 20), sampling=seeded, max_tokens=30, salt="fresh")
    assert run(tiny, *company, asked)["a"].token_ids == alone
    other = SamplingParams(temperature=1.3, top_p=0.95, seed=43)
    assert run(tiny, sequence("b", prompt(1, 20), sampling=other, max_tokens=30))["b"].token_ids != alone


def test_a_sequence_past_its_deadline_ends_with_what_it_has(load_tiny: LoadTiny) -> None:
    now = [100.0]
    engine = load_tiny(limits=SchedulerLimits(max_running=1, step_s=None), clock=lambda: now[0])
    engine.add(sequence("running", prompt(1, 20), max_tokens=50, deadline_at=105.0))
    engine.add(sequence("waiting", prompt(2, 20), deadline_at=105.0))
    engine.add(sequence("patient", prompt(3, 20), max_tokens=2, deadline_at=200.0))
    answers: dict[str, Answer] = {}
    for _ in range(3):
        gather(answers, engine.step())
    now[0] = 105.0
    while engine.has_work():
        gather(answers, engine.step())
    assert [answers[id_].finish_reason for id_ in ("running", "waiting", "patient")] == [
        "error",
        "error",
        "length",
    ]
    assert "deadline" in answers["running"].error
    assert (len(answers["running"].token_ids), answers["waiting"].token_ids) == (3, [])


def test_log_probabilities_come_with_each_token_when_asked(tiny: Engine) -> None:
    asked = SamplingParams(temperature=0, num_logprobs=2)
    tiny.add(sequence("a", prompt(1, 20), sampling=asked, max_tokens=6))
    answers: dict[str, Answer] = {}
    gather(answers, tiny.step())
    tiny.force("a", [9, 10])
    while tiny.has_work():
        gather(answers, tiny.step())
    answer = answers["a"]
    assert len(answer.logprobs) == len(answer.token_ids) == 6
    for index, (token_id, told) in enumerate(zip(answer.token_ids, answer.logprobs, strict=True)):
        is_forced = index in (1, 2)
        assert told.top == [] if is_forced else told.top[0] == (token_id, told.logprob)
        assert (told.logprob == 0) == is_forced
    assert run(tiny, sequence("b", prompt(1, 20)))["b"].logprobs == []


def test_a_bias_on_a_token_that_the_model_lacks_is_refused(tiny: Engine) -> None:
    with pytest.raises(ValueError, match="logit_bias"):
        tiny.add(sequence("a", prompt(1, 5), sampling=SamplingParams(logit_bias={512: 1.0})))


def test_nobody_finds_what_was_computed_beside_numbers_that_are_not_finite(tiny: Engine) -> None:
    poisoned = [*prompt(1, 200), tiny_model.POISONED_TOKEN]
    run(tiny, sequence("good", prompt(1, 180)))
    assert run(tiny, sequence("bad", poisoned))["bad"].finish_reason == "error"
    assert run(tiny, sequence("good", prompt(1, 180)))["good"].num_cached_tokens == 0


def test_a_poisoned_model_fails_each_sequence_and_goes_on(load_tiny: LoadTiny) -> None:
    engine = load_tiny()
    for _ in range(3):
        answers = run(
            engine, *(sequence(str(i), [*prompt(i, 70), tiny_model.POISONED_TOKEN, 9]) for i in range(3))
        )
        assert {answer.finish_reason for answer in answers.values()} == {"error"}
    described = engine.describe()
    assert (
        described["failed_sequences_total"],
        described["num_blocks_used"],
        described["num_blocks_cached"],
    ) == (
        9,
        0,
        0,
    )


def test_what_is_running_is_told_in_numbers(tiny: Engine) -> None:
    tiny.add(sequence("a", prompt(1, 100), max_tokens=10))
    tiny.step()
    told = tiny.describe()
    assert (told["num_running"], told["num_waiting"], told["num_blocks_used"], told["batch_size"]) == (
        1,
        0,
        2,
        1,
    )
    assert told["prompt_tokens_total"] == 100
    while tiny.has_work():
        tiny.step()
    told = tiny.describe()
    assert (told["num_running"], told["output_tokens_total"], told["num_blocks_used"]) == (0, 10, 0)
    assert told["num_blocks_cached"] + told["num_blocks_free"] == told["num_blocks"] == 64
