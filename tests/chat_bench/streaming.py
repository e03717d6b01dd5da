"""Answers that stream: what drawing 20,000 tokens costs, how typing feels, whether anything moves."""

from inference.bench.report import Figure
from tests.chat_bench.rig import Rig, percentile, slow_down, task_seconds
from tests.e2e.person import Person

WATCH = """
globalThis.seen = { flushes: [], long: [], shifts: 0, keys: [] };
const later = globalThis.requestAnimationFrame;
globalThis.requestAnimationFrame = (call) => later((time) => {
  const start = performance.now();
  call(time);
  seen.flushes.push(performance.now() - start);
});
new PerformanceObserver((list) => seen.long.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask" });
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) seen.shifts += one.value;
}).observe({ type: "layout-shift" });
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (one.name === "keydown") seen.keys.push(one.duration);
}).observe({ type: "event", durationThreshold: 16 });
"""
FORGET = "Object.assign(seen, { flushes: [], long: [], shifts: 0, keys: [] })"
LONGEST_MS = 600_000
PIECES_A_SECOND = 500
KEYS = 60

SECTION = """
## Part {number}: what the measurements say

Night temperatures decide more than those of the day: a body that cannot cool down by night
has **no reserve** in the morning, and *every* degree counts.
See [the data](https://example.org/data) or `effect(cover)`.

城市的夜间温度比白天更重要:树木既能遮荫,也能通过蒸腾降温。测量应当在人们睡觉的地方进行,而不是在机场。

1. Measure where people sleep.
2. Plant where it is hottest, street by street.
3. Water in the first years.

| City | Cover | Effect | Deaths avoided |
|---|---:|---:|---:|
| Vienna | 30 % | -1.3 K | 244 |
| Madrid | 12 % | -0.4 K | 81 |
| Athens | 9 % | -0.3 K | 64 |

```python
def effect(cover: float, *, slope: float = -0.043) -> float:
    # linear up to 40 percent, as the measurements say
    if not 0 <= cover <= 100:
        raise ValueError(f"a share in percent, not {{cover}}")
    return slope * cover
```

It follows that $\\Delta T = -0.043\\,c$ holds for every cover $c$ below 40 percent.

"""
PARAGRAPH = "A long paragraph goes on and on, as models like to write them when nobody stops them. " * 33


def answer(num_tokens: int) -> str:
    """Markdown of every sort, so many words (and characters of Chinese) long."""
    text, number = "", 0
    while len(text) < 4 * num_tokens:
        number += 1
        text += SECTION.format(number=number) + (PARAGRAPH + "\n" if number % 8 == 0 else "")
    return text[: 4 * num_tokens]


def measure(rig: Rig) -> list[Figure]:
    return [
        *_cost(rig, slower=1, most_s=6, most_flush_ms=8, longest_task_ms=50),
        *_cost(rig, slower=4, most_s=28, most_flush_ms=None, longest_task_ms=200),
        *_typing(rig, slower=1, most_ms=50),
        *_typing(rig, slower=4, most_ms=100),
        *_stillness(rig),
    ]


def _ask(rig: Rig, person: Person, num_tokens: int, *, pace: int = PIECES_A_SECOND) -> None:
    rig.stack.script(f"pace: {pace}", f"text: {answer(num_tokens)}")
    person.ask("Go on")
    person.last_turn.locator(".answer").first.wait_for()


def _wait(person: Person) -> None:
    person.last_turn.locator(".foot").wait_for(timeout=LONGEST_MS)


def _cost(
    rig: Rig, *, slower: int, most_s: float, most_flush_ms: float | None, longest_task_ms: float
) -> list[Figure]:
    with rig.person(watch=WATCH) as person:
        session = slow_down(person.page, slower)
        person.page.wait_for_timeout(2_000)
        person.page.evaluate(FORGET)
        before = task_seconds(session)
        _ask(rig, person, 20_000)
        _wait(person)
        cost_s = task_seconds(session) - before
        seen = person.page.evaluate("seen")
    where = f"G1 20,000 tokens streamed{_at(slower)}:"
    return [
        Figure(name=f"{where} main thread", value=cost_s, unit="s", most=most_s),
        Figure(
            name=f"{where} a drawing, p99",
            value=percentile(seen["flushes"], 99),
            unit="ms",
            most=most_flush_ms,
        ),
        Figure(
            name=f"{where} longest task", value=max(seen["long"], default=0), unit="ms", most=longest_task_ms
        ),
        Figure(
            name=f"{where} tasks over 50 ms",
            value=len(seen["long"]),
            unit="",
            most=0 if slower == 1 else None,
        ),
    ]


def _typing(rig: Rig, *, slower: int, most_ms: float) -> list[Figure]:
    with rig.person(watch=WATCH) as person:
        slow_down(person.page, slower)
        _ask(rig, person, 6_000, pace=250)
        person.wait_for_text("Part 4")
        person.composer.focus()
        person.page.evaluate(FORGET)
        for _ in range(KEYS):
            person.page.keyboard.press("a", delay=20)
            person.page.wait_for_timeout(60)
        keys = person.page.evaluate("seen.keys")
    known = [float(key) for key in keys] + [16.0] * max(0, KEYS - len(keys))  # shorter ones are not told
    name = f"G2 key to paint while an answer streams, p95{_at(slower)}"
    return [Figure(name=name, value=percentile(known, 95), unit="ms", most=most_ms)]


def _at(slower: int) -> str:
    return f" (processor {slower} x slower)" if slower > 1 else ""


def _stillness(rig: Rig) -> list[Figure]:
    """Of who follows the end, what is on the page stays in its place; of who has scrolled up, all of it."""
    with rig.person(watch=WATCH) as person:
        _ask(rig, person, 2_000)
        _wait(person)
        person.page.evaluate(FORGET)
        _ask(rig, person, 7_000)
        person.wait_for_text("Part 6")
        shifts = float(person.page.evaluate("seen.shifts"))
        person.page.mouse.move(700, 300)
        person.page.mouse.wheel(0, -1500)
        person.page.wait_for_timeout(500)
        moved = person.page.evaluate("""async () => {
          const scroller = document.getElementById("scroller").getBoundingClientRect();
          const spot = document.elementFromPoint(scroller.x + scroller.width / 2, scroller.y + 200);
          const at = spot.getBoundingClientRect().top;
          let most = 0;
          while (document.querySelector(".turn[data-live]")) {
            await new Promise(requestAnimationFrame);
            most = Math.max(most, Math.abs(spot.getBoundingClientRect().top - at));
          }
          return spot.isConnected ? most : 1e9;
        }""")
    return [
        Figure(name="G14 layout shift while an answer streams (CLS)", value=shifts, unit="", most=0),
        Figure(name="G14 movement of what a reader who scrolled up looks at", value=moved, unit="px", most=1),
    ]
