"""Answers that stream while everything between them and their readers is cut at random: what is shown in the
end is what was said, to the letter."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from inference.bench import report
from inference.bench.report import Figure
from tests.load.listener import percentile
from tests.load.page import Page
from tests.load.proxy import Proxy
from tests.stack import Stack

PAGES = 8
WORDS_OF_A_TURN, PIECES_A_S = 1_200, 100
LONG_TOKENS, TRIES_TO_CATCH_UP = 20_000, 20
PAUSE_S = 0.25  # between two cuts
FINISHED_WITHIN_S = 180.0
SHARES = {"socket": 0.62, "reload": 0.24, "second page": 0.1, "web": 0.014, "redis": 0.014, "worker": 0.012}
MAKE_PERSON = """
from decimal import Decimal
from django.test import Client
from webapp.accounts.models import User
from webapp.billing import accounts
user = User.objects.create_user("cuts", "cuts@example.com")
accounts.credit(user, Decimal("10000"), "for the run")
client = Client()
client.force_login(user)
print(client.cookies["sessionid"].value)
"""


@dataclass
class Cuts:
    """What was done, and what came of it. `back_s`: from when the site was served again to when a page had
    its connection."""

    done: Counter[str] = field(default_factory=Counter)
    num_turns: int = 0
    num_wrong: int = 0
    num_gaps: int = 0
    back_s: list[float] = field(default_factory=list)


def measure(*, cuts: int = 500, seed: int = 1) -> list[Figure]:
    with platform() as stack:
        came = asyncio.run(run(stack, cuts=cuts, seed=seed))
        caught_up = asyncio.run(catch_up(stack))
    place = f"{sum(came.done.values())} random cuts"
    return [
        Figure(name=f"{place}: turns", value=came.num_turns, unit=""),
        Figure(name=f"{place}: answers not as they were said", value=came.num_wrong, unit="", most=0),
        Figure(name=f"{place}: events lost or doubled", value=came.num_gaps, unit="", most=0),
        Figure(name=f"{place}: pages back, p95", value=percentile(came.back_s, 0.95), unit="s", most=2),
        Figure(
            name=f"catching up {LONG_TOKENS} tokens, p95",
            value=1000 * percentile(caught_up, 0.95),
            unit="ms",
            most=500,
        ),
    ]


@contextmanager
def platform() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder:
        stack = Stack(Path(folder))
        stack.settings = {"TURNS_PER_MINUTE": "100000", "CONCURRENT_TURNS": "1000"}
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


async def run(stack: Stack, *, cuts: int, seed: int, pages: int = PAGES) -> Cuts:
    """Each page asks for one turn after the other, until so many cuts were made."""
    draw = random.Random(seed)
    words = " ".join(f"word{number}" for number in range(WORDS_OF_A_TURN))
    stack.script(f"pace: {PIECES_A_S}", f"text: {words}")
    cookie = (await asyncio.to_thread(stack.python, MAKE_PERSON)).split()[-1]
    proxy = Proxy(stack.port)
    await proxy.start()
    came = Cuts()
    is_over = asyncio.Event()
    first = [Page(proxy.url, cookie, draw=draw) for _ in range(pages)]
    asking = [asyncio.create_task(_ask_on(page, came, is_over)) for page in first]
    try:
        for what in _plan(draw, cuts):
            await asyncio.sleep(draw.random() * 2 * PAUSE_S)
            await _cut(what, draw.choice(first), stack, proxy, came, draw=draw, cookie=cookie, pages=first)
            came.done[what] += 1
            for task in asking:
                if task.done():
                    task.result()
        is_over.set()
        await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()
        for page in first:
            came.num_gaps += page.num_gaps
            await page.close()
        await proxy.stop()
    return came


def _plan(draw: random.Random, cuts: int) -> list[str]:
    """Each kind at least once, if there are enough of them."""
    rare_first = sorted(SHARES, key=SHARES.__getitem__)
    plan = [kind for kind in rare_first for _ in range(max(1, round(cuts * SHARES[kind])))][:cuts]
    draw.shuffle(plan)
    return plan


async def _ask_on(page: Page, came: Cuts, is_over: asyncio.Event) -> None:
    while not is_over.is_set():
        await page.start("Say many words.")
        await page.wait_finished(FINISHED_WITHIN_S)
        came.num_turns += 1
        came.num_wrong += not page.is_whole


async def _cut(
    what: str,
    page: Page,
    stack: Stack,
    proxy: Proxy,
    came: Cuts,
    *,
    draw: random.Random,
    cookie: str,
    pages: list[Page],
) -> None:
    if what == "socket" and page.port is not None:
        proxy.cut(page.port)
    elif what == "reload":
        page.reload()
    elif what == "second page" and page.turn is not None:
        await _look_beside(Page(proxy.url, cookie, draw=draw), page.turn, came)
    elif what == "web":
        cut_at = await asyncio.to_thread(_again, stack, "web")
        served_at = await asyncio.to_thread(_served_at, stack)
        came.back_s += [max(0.0, back - served_at) for back in await _back(pages, cut_at)]
    elif what == "redis":
        await asyncio.to_thread(_restart_redis, stack)
    elif what == "worker":
        for name in [name for name in stack.part_names if "worker" in name]:
            await asyncio.to_thread(_again, stack, name)


async def _look_beside(second: Page, turn: str, came: Cuts) -> None:
    """A second page that comes in the middle, and stays to the end."""
    await second.follow(turn)
    try:
        await second.wait_finished(FINISHED_WITHIN_S)
        came.num_wrong += not second.is_whole
        came.num_gaps += second.num_gaps
    finally:
        await second.close()


async def _back(pages: list[Page], cut_at: float) -> list[float]:
    """When each of the pages had a connection again: some have it before we know that the site is served."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        times = [next((at for at in page.opened_at if at > cut_at), None) for page in pages]
        if all(at is not None for at in times):
            break
        await asyncio.sleep(0.02)
    return [at if at is not None else deadline for at in times]


def _again(stack: Stack, part: str) -> float:
    """When the part was dead."""
    stack.kill(part)
    died_at = time.monotonic()
    stack.start_part(part)
    return died_at


def _served_at(stack: Stack) -> float:
    for _ in range(3_000):
        with suppress(URLError, OSError), urlopen(f"{stack.url}/healthz", timeout=2):
            return time.monotonic()
        time.sleep(0.02)
    raise TimeoutError("the web process did not come back")


def _restart_redis(stack: Stack) -> None:
    stack.redis.kill()
    stack.redis.start()


async def catch_up(stack: Stack, *, tokens: int = LONG_TOKENS, tries: int = TRIES_TO_CATCH_UP) -> list[float]:
    """Seconds from a page's question for all of a long answer until it shows it."""
    stack.script("text: " + " ".join(f"word{number}" for number in range(tokens)))
    person = MAKE_PERSON.replace("cuts", "long")
    cookie = (await asyncio.to_thread(stack.python, person)).split()[-1]
    draw = random.Random(1)
    page = Page(stack.url, cookie, draw=draw)
    took = []
    try:
        await page.start("Say very many words.")
        await page.wait_finished(FINISHED_WITHIN_S)
        assert page.turn is not None
        for _ in range(tries):
            began = time.monotonic()
            await page.follow(page.turn)
            await page.wait_finished(FINISHED_WITHIN_S)
            took.append(time.monotonic() - began)
            assert page.is_whole, "the answer that was caught up with is another"
    finally:
        await page.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.load.cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same cuts")
    options = parser.parse_args()
    figures = measure(cuts=options.cuts, seed=options.seed)
    sys.stdout.write(f"{report.machine_line()}\n{report.table(figures)}\n")


if __name__ == "__main__":
    main()
