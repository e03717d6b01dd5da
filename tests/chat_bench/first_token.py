"""From the moment the model is called to its first word on the screen: the scripted model answers at once."""

from inference.bench.report import Figure
from tests.chat_bench.rig import Rig, percentile

NUM_TURNS = 40
WATCH = """
globalThis.seen = { called: 0, painted: [] };
const Whole = globalThis.WebSocket;
globalThis.WebSocket = class extends Whole {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      for (const frame of [JSON.parse(data)].flat()) {  // several may come as one list
        if (frame.type === "step.started") seen.called = frame.at_ms;
      }
    });
  }
};
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  const answers = [...document.querySelectorAll(".turn[data-live] .answer")];
  if (!seen.called || !answers.some((one) => one.textContent.trim())) return;
  const { called } = seen;
  seen.called = 0;
  const now = () => performance.timeOrigin + performance.now();
  requestAnimationFrame(() => setTimeout(() => seen.painted.push(now() - called)));
}).observe(document.body, { childList: true, subtree: true, characterData: true }));
"""


def measure(rig: Rig) -> list[Figure]:
    # the first word after 2 ms; then slowly, so that the turn is still under way when it is painted
    rig.stack.script("pace: 500", "text: Here", "pace: 20", "text:  is a short answer.")
    with rig.person(watch=WATCH) as person:
        for number in range(NUM_TURNS):
            person.ask(f"Question {number}")
            person.wait_for_answer()
        painted = person.page.evaluate("seen.painted")[5:]  # the first ones warm caches
    return [
        Figure(
            name="G4 model called to its first word painted, p50",
            value=percentile(painted, 50),
            unit="ms",
            most=60,
        ),
        Figure(name="G4 the same, p95", value=percentile(painted, 95), unit="ms", most=120),
    ]
