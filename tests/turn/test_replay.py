"""Whoever attaches, whenever and from wherever, sees the whole turn: nothing lost, nothing doubled."""

import contextlib
from typing import Any

import pytest
import redis
from django.conf import settings

from chat import events, history, tasks
from chat.models import Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Frames, Tab
from tests.turn.conftest import OpenTab
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = " ".join(f"word{number}" for number in range(120))
LONG_TURN = (
    Reply(step=1, lines=("pace: 200", f"think: {WORDS}", 'call: calculate {"expression": "6 * 7"}')),
    Reply(step=2, lines=("pace: 200", f"text: {WORDS}")),
)


def drop_log(turn: str) -> None:
    with contextlib.closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        client.delete(events.log_key(Turn(id=turn).id))


def shown_by(frames: list[dict[str, Any]]) -> dict[str, str]:
    """What a page that follows the rules ends up showing, from frames in the order they came."""
    page: list[dict[str, Any]] = []
    last = 0
    for frame in frames:
        if frame["seq"] <= last:
            continue
        assert frame["seq"] == last + 1 or frame["type"] == "turn.snapshot", f"a gap after {last}: {frame}"
        last = frame["seq"]
        if frame["type"] == "turn.snapshot":
            page = list(frame["events"])
        elif frame["type"] == "step.started":
            page = [old for old in page if old.get("step", 0) < frame["step"]] + [frame]
        else:
            page.append(frame)
    shown = Frames(page)
    return {
        "reasoning": shown.text_of("reasoning.delta"),
        "content": shown.text_of("content.delta"),
        "results": " ".join(frame["result"] for frame in shown.of("tool_call.finished")),
        "end": "".join(frame["text_sha256"] for frame in shown.of("turn.finished")),
    }


def is_over(frame: dict[str, Any]) -> bool:
    return frame["type"] == "turn.finished" or any(
        event["type"] == "turn.finished" for event in frame.get("events", [])
    )


def follow_to_the_end(tab: Tab, turn: str, *, after: int = 0) -> Frames:
    tab.frames.clear()
    tab.send("turn.attach", turn=turn, after=after)
    tab.wait_for_any(is_over)
    return tab.of_turn(turn)


def test_a_second_tab_sees_what_the_first_sees(
    alice_tab: Tab, open_tab: OpenTab, alice: User, script: WriteScript
) -> None:
    script(*LONG_TURN)
    turn = alice_tab.start("Go.", long_thinking=True)
    alice_tab.wait_for("reasoning.delta", where=lambda frame: frame["seq"] > 5)
    second = follow_to_the_end(open_tab(alice), turn)
    alice_tab.wait_for("turn.finished")
    assert second == alice_tab.of_turn(turn)


def test_a_page_that_comes_back_at_any_point_misses_nothing(alice_tab: Tab, script: WriteScript) -> None:
    script(*LONG_TURN)
    whole = alice_tab.ask("Go.", long_thinking=True)
    turn = whole[0]["turn"]
    for after in range(len(whole)):
        rest = follow_to_the_end(alice_tab, turn, after=after)
        assert whole[:after] + rest == whole


def test_a_page_that_reloads_again_and_again_while_it_streams_shows_it_all(
    open_tab: OpenTab, alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(*LONG_TURN)
    turn = alice_tab.start("Go.", long_thinking=True)
    seen = Frames()
    while not any(is_over(frame) for frame in seen):
        with open_tab(alice) as tab:
            tab.send("turn.attach", turn=turn, after=seen[-1]["seq"] if seen else 0)
            tab.wait_for_any(lambda frame: frame.get("turn") == turn)
            seen += tab.of_turn(turn)
    alice_tab.wait_for("turn.finished")
    assert [frame["seq"] for frame in seen] == list(range(1, len(seen) + 1))
    assert shown_by(seen) == shown_by(alice_tab.of_turn(turn))


def test_a_turn_whose_log_is_gone_is_shown_from_the_database(alice_tab: Tab, script: WriteScript) -> None:
    script(*LONG_TURN)
    whole = alice_tab.ask("Go.", long_thinking=True)
    turn = whole[0]["turn"]
    drop_log(turn)
    for after in (0, 3, len(whole) - 1):
        [snapshot] = follow_to_the_end(alice_tab, turn, after=after)
        assert snapshot["type"] == "turn.snapshot"
        assert shown_by([snapshot]) == shown_by(whole)


def test_a_log_lost_in_the_middle_is_bridged_by_the_worker(
    alice_tab: Tab, open_tab: OpenTab, alice: User, script: WriteScript
) -> None:
    script(*LONG_TURN)
    turn = alice_tab.start("Go.", long_thinking=True)
    alice_tab.wait_for("content.delta", where=lambda frame: frame["seq"] > 12)
    drop_log(turn)
    late = follow_to_the_end(open_tab(alice), turn)
    alice_tab.wait_for("turn.finished")
    view = history.turn_view(Turn.objects.get())
    for frames in (alice_tab.of_turn(turn), late):
        shown = shown_by(frames)
        assert (shown["reasoning"], shown["content"], shown["results"]) == (WORDS, WORDS, "42")
        assert view.answer == shown["content"]


def test_a_reader_beyond_the_kept_part_of_the_log_gets_a_snapshot(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*LONG_TURN)
    whole = alice_tab.ask("Go.", long_thinking=True)
    turn = whole[0]["turn"]
    second_step = whole.of("step.started")[1]["seq"]
    Turn.objects.update(status="running")  # as if it went on: a finished turn needs no log
    with contextlib.closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        client.xtrim(events.log_key(Turn.objects.get().id), minid=f"{second_step}-0")
    assert shown_by(follow_to_the_end(alice_tab, turn)) == shown_by(whole)


def test_an_end_that_its_worker_could_not_announce_is_announced_by_the_sweep(
    alice_tab: Tab, script: WriteScript
) -> None:
    script("text: done")
    whole = alice_tab.ask("Go.")
    turn = Turn.objects.get()
    with contextlib.closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        key = events.log_key(turn.id)
        entries = client.xrange(key)
        client.delete(key)
        for seq, fields in entries[:-1]:
            client.xadd(key, fields, id=seq)
    Turn.objects.update(lease_until=turn.created_at)
    alice_tab.frames.clear()
    alice_tab.send("turn.attach", turn=str(turn.id), after=0)
    tasks.sweep()
    alice_tab.wait_for("turn.finished")
    assert alice_tab.of_turn(str(turn.id)) == whole
    assert Turn.objects.get().lease_until is None
