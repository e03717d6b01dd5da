"""`manage.py loopforge`: a scripted provider with faults on demand, for demos and load tests."""

import argparse
import importlib
from typing import Any

from django.core.management.base import BaseCommand, CommandError

HELP = """\
Serve OpenAI's chat completions from a plan: so many steps that call the tools on offer, then an answer that
is a digest of all that was seen. Point the platform at it with
OPENAI_BASE_URL=http://127.0.0.1:9009/v1 OPENAI_MODEL=loopforge-thinking manage.py up.
With --course facthop it answers questions over the installed factbook, such as "Rank all places by
'Geography / Area / total' per 'People and Society / Population / total': name the first 5."
A question may change the plan of its own turn: "forge: steps=30 seed=4 faults=cut@3,busy@5x2"."""


class Command(BaseCommand):
    help = HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=9009)
        parser.add_argument("--course", choices=["plan", "facthop"], default="plan", help="how it answers")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--steps", type=int, default=10, help="steps that call tools")
        parser.add_argument("--calls", type=int, default=1, help="the most calls of one step")
        parser.add_argument("--tools", default="", help="which to call, with commas; all by default")
        parser.add_argument("--faults", default="", help="like malformed@3,busy@5x2 (kind@step, times)")
        parser.add_argument("--fault-share", type=float, default=0.0, help="of steps that go wrong, by seed")
        parser.add_argument("--latency-ms", type=int, default=0, help="before the first piece of a reply")
        parser.add_argument("--pace-ms", type=int, default=0, help="between two pieces")
        parser.add_argument("--context-tokens", type=int, default=262_144)
        parser.add_argument("--prefix-cache", action="store_true", help="count cached tokens by prompts seen")
        parser.add_argument("--lenient", action="store_true", help="take conversations that providers refuse")

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        try:
            serving = importlib.import_module("tests.loopforge.serving")
        except ModuleNotFoundError as error:
            raise CommandError("LoopForge lies in tests/, which this installation lacks.") from error
        forge = _forge(options)
        self.stdout.write(f"LoopForge: http://{host}:{port}/v1")
        serving.server(forge, host=host, port=port).run()


def _forge(options: dict[str, Any]) -> Any:
    from tests.loopforge import faults
    from tests.loopforge.course import Course, Plan, Planned
    from tests.loopforge.facthop import FactHop
    from tests.loopforge.server import LoopForge

    try:
        strikes = faults.parse(options["faults"])
    except ValueError as error:
        known = ", ".join(faults.Fault)
        raise CommandError(f"--faults: {error}. Write kind@step; the kinds: {known}.") from error
    if options["course"] == "facthop":
        course: Course = FactHop(strikes, share=options["fault_share"], seed=options["seed"])
        return LoopForge(course=course, manner=_manner(options))
    plan = Plan(
        seed=options["seed"],
        steps=options["steps"],
        calls=options["calls"],
        tools=tuple(name for name in options["tools"].split(",") if name),
        faults=strikes,
        share=options["fault_share"],
    )
    return LoopForge(course=Planned(plan), manner=_manner(options))


def _manner(options: dict[str, Any]) -> Any:
    from tests.loopforge.server import Manner

    return Manner(
        latency_ms=options["latency_ms"],
        pace_ms=options["pace_ms"],
        context_tokens=options["context_tokens"],
        is_strict=not options["lenient"],
        has_prefix_cache=options["prefix_cache"],
    )
