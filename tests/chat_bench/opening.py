"""Opening a chat with a run of 300 steps and 200 messages, and what the empty page weighs."""

import gzip
import statistics

from playwright.sync_api import Page, Response

from inference.bench.report import Figure
from tests.chat_bench.rig import Rig

ROUNDS = 5
FILL = """
from tests.pages import scenes
from webapp.accounts.models import User
print(scenes.conversation(User.objects.get(username={name!r}), num_turns=101, num_steps=300).pk)
"""
READ = """
from django.test import Client
from tests.rows_read import counted
from webapp.accounts.models import User
client = Client()
client.force_login(User.objects.get(username={name!r}))
with counted() as read:
    assert client.get("/c/{chat}/", HTTP_HOST="localhost").status_code == 200
print(read.num_bytes)
"""
WATCH = """
globalThis.seen = { paint: 0, blocked: 0 };
new PerformanceObserver((list) => (seen.paint = list.getEntries().at(-1).startTime))
  .observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) seen.blocked += one.duration - 50;
}).observe({ type: "longtask", buffered: true });
"""


def measure(rig: Rig) -> list[Figure]:
    with rig.person(watch=WATCH) as person:
        chat = rig.stack.python(FILL.format(name=person.name)).strip()
        read = int(rig.stack.python(READ.format(name=person.name, chat=chat)).split()[-1])
        opened = [_open(person.page, f"/c/{chat}/") for _ in range(ROUNDS + 1)][1:]
        weighed = _weigh(person.page, "/")
    paint, blocked, page_kb, nodes = (statistics.median(column) for column in zip(*opened, strict=True))
    return [
        Figure(name="G3 300 steps and 200 messages: largest paint", value=paint / 1000, unit="s", most=1.2),
        Figure(name="G3 main thread blocked (TBT)", value=blocked, unit="ms", most=150),
        Figure(name="G3 page, compressed", value=page_kb, unit="KB", most=80),
        Figure(name="G3 nodes of the page", value=nodes, unit="", most=5000),
        Figure(name="G13 read from the database to open it", value=read / 1000, unit="KB", most=200),
        *weighed,
    ]


def _open(page: Page, path: str) -> tuple[float, float, float, float]:
    answer = page.goto(path, wait_until="networkidle")
    assert answer
    page.wait_for_timeout(1_500)
    seen = page.evaluate("seen")
    nodes = page.evaluate("document.querySelectorAll('*').length")
    return seen["paint"], seen["blocked"], len(gzip.compress(answer.body())) / 1000, nodes


def _weigh(page: Page, path: str) -> list[Figure]:
    """What is fetched until the page's scripts have run, before anything is fetched ahead."""
    answers: list[Response] = []
    page.add_init_script("globalThis.requestIdleCallback = () => {}")
    page.on("response", lambda answer: answers.append(answer))
    page.goto(path, wait_until="networkidle")
    weight = {"script": 0.0, "stylesheet": 0.0}
    for answer in answers:
        if (kind := answer.request.resource_type) in weight:
            weight[kind] += len(gzip.compress(answer.body(), 9)) / 1000
    return [
        Figure(name="G10 scripts of a page at first, compressed", value=weight["script"], unit="KB", most=55),
        Figure(name="G10 styles, compressed", value=weight["stylesheet"], unit="KB", most=15),
        Figure(name="G10 requests", value=len(answers), unit="", most=12),
    ]
