"""Several choices of one call: made side by side, billed together, and gone together when one fails."""

import openai
import pytest

from inference.backends.scripted import Script
from inference.schema import ContentDelta, Finished, FinishReason, Usage
from tests.services import wait_until
from webapp.api import bill
from webapp.api.bill import Bill
from webapp.api.chat_reply import Reply
from webapp.billing.models import Account, Hold, LedgerEntry, Price, UsageRecord

THREE = {"n": 3, "seed": 7}


def record():
    wait_until(lambda: UsageRecord.objects.exists(), within_s=30, what="the usage record")
    return UsageRecord.objects.get()


@pytest.fixture(autouse=True)
def _priced(scripted_model):
    rates = {"input_per_million": 1, "cached_input_per_million": "0.5", "output_per_million": 2}
    Price.objects.filter(model=scripted_model).update(**rates)


@pytest.fixture
def varied(upstream):
    """An answer for each of the seeds that three choices get: 2, 3 and 1 tokens long."""
    upstream.scripts = {
        7: Script.of("cached: 4", "text: It's four."),
        8: Script.of("cached: 1", "text: It is four."),
        9: Script.of("cached: 4", "text: Four."),
    }
    return upstream


def test_each_choice_has_the_next_seed_and_the_prompt_is_billed_once(ask, varied, alice):
    completion = ask(**THREE)
    told = [(choice.index, choice.message.content) for choice in completion.choices]
    assert told == [(0, "It's four."), (1, "It is four."), (2, "Four.")]
    assert sorted(body["seed"] for body in varied.bodies) == [7, 8, 9]
    usage = completion.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (5, 1, 6)

    row = record()
    assert (row.reference, row.finish_reason, row.is_estimated) == (completion.id, "stop", False)
    assert (row.input_uncached_tokens, row.input_cached_tokens, row.output_tokens) == (4, 1, 6)
    assert row.cost_nano == 4 * 1_000 + 1 * 500 + 6 * 2_000
    assert LedgerEntry.objects.get(kind="usage").amount_nano == -row.cost_nano
    account = Account.objects.get(user=alice)
    assert (account.held_nano, account.balance_nano) == (0, 5 * 10**9 - row.cost_nano)


def test_choices_stream_side_by_side_under_one_id(ask, varied):
    varied.scripts[7] = Script.of("wait: 0.7", "text: It's four.")
    chunks = list(ask(stream=True, stream_options={"include_usage": True}, **THREE))
    assert len({chunk.id for chunk in chunks}) == 1
    said: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for chunk in chunks[:-1]:
        (choice,) = chunk.choices
        first = [] if said[choice.index] else [choice.delta.role]
        said[choice.index] += first or [choice.delta.content or choice.finish_reason]
    assert said[0] == ["assistant", "It's", " four.", "stop"]
    assert said[1] == ["assistant", "It", " is", " four.", "stop"]
    assert said[2] == ["assistant", "Four.", "stop"]
    assert [chunk.choices[0].index for chunk in chunks[-5:-1]] == [0] * 4
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 6)
    with_usage = [chunk for chunk in chunks[:-1] if getattr(chunk.choices[0], "usage", None)]
    assert with_usage == [chunks[-2]]
    assert record().output_tokens == 6


def test_tool_calls_of_two_choices_are_told_apart(ask, upstream):
    upstream.script = Script.of('call: calculate {"x": 1}')
    tools = [{"type": "function", "function": {"name": "calculate"}}]
    choices = [chunk.choices[0] for chunk in ask(stream=True, n=2, tools=tools)]
    for index in (0, 1):
        own = [choice.delta.tool_calls for choice in choices if choice.index == index]
        functions = [calls[0].function for calls in own if calls]
        assert [function.name for function in functions] == ["calculate", *[None] * (len(functions) - 1)]
        assert "".join(function.arguments for function in functions) == '{"x": 1}'


def test_the_hold_covers_the_longest_answer_of_each(ask, upstream, client):
    ask(max_tokens=100)
    ask(max_tokens=100, n=3)
    wait_until(lambda: UsageRecord.objects.count() == 2, within_s=30, what="the bills")
    one, three = Hold.objects.order_by("created_at")
    assert three.amount_nano - one.amount_nano == 2 * 100 * 2_000


def test_without_money_for_all_choices_none_is_made(ask, upstream, alice):
    Account.objects.filter(user=alice).update(balance_nano=20_000_000)
    with pytest.raises(openai.RateLimitError, match="may cost up to") as refusal:
        ask(max_tokens=5_000, n=3)
    assert refusal.value.code == "insufficient_quota"
    assert (upstream.bodies, Hold.objects.count()) == ([], 0)
    assert ask(max_tokens=5_000).choices[0].message.content == "ok"


def test_one_refused_choice_ends_the_others_and_nothing_is_billed(ask, varied):
    varied.scripts |= {7: Script.of("text: It's", "stall:"), 8: Script.of("error: rejected Too long.")}
    with pytest.raises(openai.BadRequestError, match="Too long"):
        ask(**THREE)
    wait_until(lambda: varied.closed_at, within_s=30, what="the end of the other choice")
    wait_until(lambda: Hold.objects.get().status == "released", within_s=30, what="the release")
    assert not UsageRecord.objects.exists()


def test_one_broken_choice_ends_the_stream_and_what_was_made_is_billed(ask, varied, alice):
    varied.scripts[8] = Script.of("text: one two three", "wait: 0.7", "break: Gone.")
    with pytest.raises(openai.APIError, match="broke"):
        list(ask(stream=True, **THREE))
    row = record()
    assert (row.finish_reason, row.is_estimated) == ("error", True)
    # 2 and 1 tokens were counted, 13 characters are taken for 4; the prompt was counted, too.
    assert (row.input_uncached_tokens, row.input_cached_tokens, row.output_tokens) == (1, 4, 2 + 4 + 1)
    assert row.cost_nano == 1 * 1_000 + 4 * 500 + 7 * 2_000
    assert Account.objects.get(user=alice).held_nano == 0


def test_a_client_that_hangs_up_stops_every_choice(ask, varied, alice):
    varied.scripts = {seed: Script.of("text: one two three", "stall:") for seed in (7, 8, 9)}
    stream = ask(stream=True, **THREE)
    for _ in zip(range(3 * 4), stream, strict=False):
        pass
    stream.close()
    row = record()
    assert (row.finish_reason, row.is_estimated, row.output_tokens) == ("cancelled", True, 3 * 4)
    wait_until(lambda: len(varied.closed_at) == 3, within_s=30, what="the end of the choices")
    assert Account.objects.get(user=alice).held_nano == 0


def said(text: str, usage: Usage | None) -> Reply:
    reply = Reply()
    if text:
        reply.add(ContentDelta(text))
    if usage is not None:
        reply.add(Finished(reason=FinishReason.STOP, usage=usage))
    return reply


def test_nothing_said_and_nothing_counted_is_nothing_owed():
    assert bill.of([said("", None), said("", None)], input_text="2 + 2?") == Bill()
    assert bill.of([said("", Usage())], input_text="2 + 2?") == Bill(usage=Usage())


def test_where_nobody_counts_the_prompt_is_estimated_once():
    replies = [said("four", Usage()), said("It is four", Usage()), said("", None)]
    owed = bill.of(replies, input_text="What is 2 + 2?")
    assert owed == Bill(usage=Usage(input_uncached_tokens=4, output_tokens=1 + 3), is_estimated=True)
