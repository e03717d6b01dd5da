"""Turns in every state that a page must show, as rows: for tests of pages, and for a browser's stack."""

import base64
import hashlib
import json
import struct
import zlib
from datetime import timedelta
from typing import Any

from django.utils import timezone

from chat.markdown import render
from chat.models import Artifact, Conversation, Message, Part, Passage, PlanItem, ToolRun, Turn
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel

PASSAGE = "Planting trees to cover 30 % of the city would have avoided 2,644 of 6,700 deaths in 2015."
QUESTION = "What share of urban-heat deaths would 30 % tree cover have prevented in Europe in 2015? Be sure."


class Scene:
    """One turn under construction; `step` adds a step behind the last one."""

    turn: Turn

    def __init__(
        self,
        user: User,
        *,
        question: str = QUESTION,
        parent: "Scene | None" = None,
        after: "Scene | None" = None,
        **fields: Any,
    ) -> None:
        """An agent's turn under `parent`, or one `after` another; else the first of a chat."""
        self.number = 0
        earlier = parent or after
        conversation = earlier.turn.conversation if earlier else None
        self.turn = Turn.objects.create(
            conversation=conversation or Conversation.objects.create(user=user, title="Trees and heat"),
            spawned_by=parent.turn if parent else None,
            parent=after.turn if after else None,
            model=ServedModel.objects.get(name="scripted"),
            hold=Hold.objects.create(
                account=accounts.of(user),
                model=ServedModel.objects.get(name="scripted"),
                amount_nano=0,
                status=Hold.Status.RELEASED,
                expires_at=timezone.now(),
            ),
            max_seconds=600,
            max_reasoning_tokens=1000,
            max_output_tokens=10_000,
            **{
                "max_steps": 300,
                "status": Turn.Status.FINISHED,
                "finish_reason": "stop",
                "long_thinking": True,
                "started_at": timezone.now(),
            }
            | fields,
        )
        if not parent:
            self.turn.conversation.current_turn = self.turn
            self.turn.conversation.save()
        asked = Message.objects.create(turn=self.turn, step=0, role=Message.Role.USER)
        Part.objects.create(message=asked, position=0, kind=Part.Kind.TEXT, text=question)

    def step(self, *calls: dict[str, Any], think: str = "", text: str = "") -> "Scene":
        """Each call: name, arguments, result (None: it has none yet), and fields of its run."""
        self.number += 1
        reply = Message.objects.create(
            turn=self.turn, step=self.number, role=Message.Role.ASSISTANT, output_tokens=40
        )
        parts = []
        if think:
            parts.append({"kind": Part.Kind.REASONING, "text": think, "num_tokens": 31, "duration_ms": 5_100})
        if text:
            parts.append({"kind": Part.Kind.TEXT, "text": text, "html": render(text)})
        for index, call in enumerate(calls):
            parts.append(self._call(index, **call))
        for position, part in enumerate(parts):
            Part.objects.create(message=reply, position=position, **part)
        Turn.objects.filter(pk=self.turn.pk).update(next_step=self.number + 1)
        return self

    def note(self, kind: str, text: str = "", **data: Any) -> "Scene":
        count = self.turn.messages.filter(step=self.number).count()
        note = Message.objects.create(
            turn=self.turn, step=self.number, position=10_000 + count, role="note", kind=kind, data=data
        )
        if text:
            Part.objects.create(message=note, position=0, kind=Part.Kind.TEXT, text=text)
        return self

    def plan(self, *items: tuple[str, str, str]) -> "Scene":
        for position, (phase, text, status) in enumerate(items):
            PlanItem.objects.create(turn=self.turn, position=position, phase=phase, text=text, status=status)
        return self

    def passage(self, number: int, text: str = PASSAGE, **fields: Any) -> "Scene":
        known = {
            "call_id": "functions.search:0",
            "source": "https://www.thelancet.com/journals/lancet/article/PIIS0140-6736(22)02585-5",
            "title": "Cooling cities through urban green infrastructure",
        }
        Passage.objects.create(
            turn=self.turn,
            number=number,
            **known | fields,
            text=text,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            trust="web",
            fetched_at=timezone.now(),
        )
        return self

    def _call(
        self, index: int, *, name: str, arguments: Any = None, result: str | None = None, **run: Any
    ) -> dict[str, Any]:
        call_id = f"functions.{name}:{self.number * 10 + index}"
        written = json.dumps(arguments or {}, ensure_ascii=False)
        is_error = run.pop("is_error", False)
        ToolRun.objects.create(
            turn=self.turn,
            step=self.number,
            index=index,
            call_id=call_id,
            tool=name,
            arguments=written,
            arguments_sha256=hashlib.sha256(written.encode()).hexdigest(),
            key=f"{self.turn.pk}.{self.number}.{index}",
            effect="none",
            **{"state": ToolRun.State.DONE if result is not None else ToolRun.State.INTENDED} | run,
        )
        if result is not None:
            message = Message.objects.create(
                turn=self.turn, step=self.number, position=index + 1, role=Message.Role.TOOL
            )
            Part.objects.create(
                message=message,
                position=0,
                kind=Part.Kind.TOOL_RESULT,
                text=result,
                tool_name=name,
                tool_call_id=call_id,
                is_error=is_error,
                duration_ms=1_200,
            )
        return {
            "kind": Part.Kind.TOOL_CALL,
            "text": written,
            "tool_name": name,
            "tool_call_id": call_id,
        }


def waiting(
    user: User, waiting_for: str, *, name: str = "fetch_file", arguments: Any = None, prompt: str = ""
) -> Turn:
    """A turn with a call that a person is to decide on."""
    scene = Scene(user, status=Turn.Status.WAITING, finish_reason="", waiting_for=waiting_for)
    scene.step({"name": "search", "arguments": {"query": "tree cover"}, "result": "8 results"}, think="Look.")
    scene.step(
        {
            "name": name,
            "arguments": arguments or {"url": "https://data.example.org/tree_cover.tif", "save_as": "t.tif"},
            "state": ToolRun.State.WAITING,
            "waiting_for": waiting_for,
            "prompt": prompt,
            "expires_at": timezone.now() + timedelta(days=6, hours=1),
        }
    )
    return scene.turn


def question(user: User) -> Turn:
    arguments = {"question": "Which year do you mean?", "choices": ["2015", "2022"]}
    return waiting(user, "answer", name="ask_user", arguments=arguments, prompt="Which year do you mean?")


def proposed_plan(user: User) -> Turn:
    lines = [{"text": "Find the study", "phase": "gather"}, {"text": "Recompute", "phase": "verify"}]
    return waiting(user, "approval", name="plan", arguments={"lines": lines}, prompt="- Find the study")


def noted(user: User) -> Turn:
    """A turn with a plan, every kind of note, a draft, undone steps, a citation and a doubt."""
    answer = "It was **39 %** of deaths [7]. The program cost 12 million euros. `x[7]` is code."
    start = answer.index("The program")
    doubt = {
        "start": start,
        "end": start + len("The program cost 12 million euros."),
        "step": 5,
        "verdict": "unsupported",
        "fault": "number",
        "detail": "12 million",
        "reason": "12 million is in none of its sources.",
        "passages": [],
        "calls": [],
        "by": "rule",
    }
    scene = Scene(user).plan(
        ("gather", "Find the study and its appendix", "done"),
        ("gather", "Ask the authors", "dropped"),
        ("verify", "Recompute the figure", "doing"),
        ("verify", "Compare with the press release", "todo"),
    )
    scene.step(
        {"name": "search", "arguments": {"query": "tree cover heat"}, "result": "[7] " + PASSAGE},
        {"name": "search", "arguments": {"query": "same"}, "result": "8 results", "is_cached": True},
        think="Search first.",
    ).passage(7)
    scene.note("budget", "80 % of the steps are used.", limit="steps", share=0.8)
    scene.note("guard", "You called search 3 times.", level="advise", tool="search", times=3)
    scene.step(
        {"name": "python", "arguments": {"code": "1/0"}, "result": "ZeroDivisionError", "is_error": True}
    )
    scene.step({"name": "rollback", "arguments": {"to_step": 1}, "result": "Gone back."})
    scene.note("rollback", "Dividing by the number of cities is wrong.", to_step=1, snapshot="")
    scene.note("hidden", through_step=1)
    scene.step(text="It was 50 %.")
    scene.note("check", "Sentence 1 is not supported.", must_revise=True, sentences=[doubt | {"step": 4}])
    scene.step(think="Correct it.", text=answer)
    scene.note(
        "check", must_revise=False, sentences=[doubt], num_sentences=3, num_supported=2, num_unsupported=1
    )
    return scene.turn


def cited(user: User) -> Turn:
    """A turn with a plot, whose answer cites two of its three sources, checked sentence by sentence."""
    answer = (
        "Tree cover of 30 % would have avoided 2,644 of 6,700 deaths [1]. It says itself that it "
        '"only considered the summer of 2015" [2], and 2022 was hotter [2].'
    )
    first_end = answer.index("[1].") + 4
    checked = {"step": 2, "fault": "", "detail": "", "reason": "", "calls": [], "by": "rule"}
    found = [
        checked | {"start": 0, "end": first_end, "verdict": "supported", "passages": [1]},
        checked | {"start": first_end + 1, "end": len(answer), "verdict": "supported", "passages": [2]},
    ]
    call = "functions.run_python:10"
    scene = Scene(user).step(
        {"name": "run_python", "arguments": {"code": "city.plot()"}, "result": "1 plot"}, think="Plot it."
    )
    scene.passage(1, call_id=call)
    press = (
        "Press release. The authors only considered the summer of 2015, for which data were available. End."
    )
    about = {"source": "https://www.isglobal.org/en/-/heat", "title": "One third of deaths", "call_id": call}
    scene.passage(2, press, **about)
    scene.passage(3, "Trees Master Plan 2017 to 2037.", source="uploads/plan.pdf", title="Trees Master Plan")
    plot = base64.b64encode(picture(320, 200)).decode()
    Artifact.objects.create(
        turn=scene.turn,
        call_id=call,
        name="deaths_by_city.png",
        media_type="image/png;base64",
        text=plot,
        sha256="0" * 64,
    )
    scene.step(text=answer)
    scene.note("check", must_revise=False, sentences=found, num_sentences=2, num_supported=2)
    return scene.turn


def researched(user: User, *, num_steps: int = 60, **fields: Any) -> Turn:
    """A long run by a plan of four lines: searches, pages that they named, a program on a file, and an answer
    that cites some of it. Its second line has a call that failed."""
    lines = ("Find the study", "Read what others say", "Recompute the figure", "Write it up")
    scene = Scene(user, **fields).plan(*(("", line, "done") for line in lines))
    number = 0
    for step in range(1, num_steps):
        line = min((step - 1) * len(lines) // (num_steps - 1), len(lines) - 1)
        if (step - 1) * len(lines) % (num_steps - 1) < len(lines):
            plan = [
                {"text": text, "status": "doing" if at == line else "todo"} for at, text in enumerate(lines)
            ]
            scene.step({"name": "plan", "arguments": {"lines": plan}, "result": "Kept."})
            continue
        address = f"https://www.site{line}.example.org/report-{step // 3 * 3}"
        if line == 2:
            code = f"open('deaths.csv'); print({step} * 7)"
            scene.step({"name": "run_python", "arguments": {"code": code}, "result": str(step * 7)})
        elif step % 3 == 0:
            found = f"Trees and heat {step}\n{address}\nCover and deaths."
            scene.step({"name": "web_search", "arguments": {"query": f"tree cover {step}"}, "result": found})
        else:
            failed = line == 1 and step % 3 == 1
            scene.step(
                {
                    "name": "open_page",
                    "arguments": {"source": address},
                    "result": "The site answered 404." if failed else PASSAGE,
                    "is_error": failed,
                }
            )
            if not failed:
                number += 1
                scene.passage(
                    number,
                    call_id=f"functions.open_page:{scene.number * 10}",
                    source=address,
                    title=f"Report {number}: cooling cities through urban green infrastructure",
                )
    return scene.step(
        text="Tree cover of 30 % would have avoided 2,644 of 6,700 deaths [1]. **Others** find less: between "
        "20 and 33 percent [2][3], and one of them far less [5].\n\n"
        "- The program cost 12 million euros [4].\n\n"
        "I would trust the direction, not the second digit."
    ).turn


def picture(width: int, height: int) -> bytes:
    """A PNG of grey bars."""
    row = b"\0" + bytes(90 if column % 40 < 20 else 240 for column in range(width))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(row * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def heavy(user: User) -> Turn:
    """Eight paths, of which five agree; one is still at work."""
    scene = Scene(user, effort="heavy", status=Turn.Status.WAITING, finish_reason="", waiting_for="agents")
    answers = ["39 %"] * 5 + ["33 %"] * 2
    paths = []
    for number, text in enumerate(answers):
        path = Scene(user, question="The task", parent=scene, seed=number, budget_spent_nano=190_000_000)
        path.step({"name": "search", "arguments": {"query": "heat"}, "result": "8 results"}, think="Look.")
        paths.append(path.step(text=text).turn)
    Scene(user, question="The task", parent=scene, status=Turn.Status.WAITING, finish_reason="").step(
        {"name": "search", "arguments": {"query": "heat"}, "result": "8 results"}, think="Still looking."
    )
    ballots = [
        {"answer": "39 %", "votes": 5, "weight": 5.0, "agents": [str(path.pk) for path in paths[:5]]},
        {"answer": "33 %", "votes": 2, "weight": 2.0, "agents": [str(path.pk) for path in paths[5:]]},
    ]
    scene.note("team", "Five of eight agree on 39 %.", pattern="heavy", votes=ballots)
    return scene.turn


def long(user: User, *, num_steps: int = 300) -> Turn:
    """A turn that a limit ended."""
    scene = Scene(
        user,
        finish_reason="length",
        limit="steps",
        error="Stopped at the limit of 300 steps.",
        max_steps=num_steps,
    )
    for number in range(1, num_steps):
        name = ("search", "python", "browse")[number % 3]
        failed = number % 41 == 0
        scene.step(
            {
                "name": name,
                "arguments": {"query": f"city {number}"},
                "result": f"Result {number}. " * 130,
                "is_error": failed,
            },
            think=f"City {number} comes next.",
        )
    scene.step(text="What I know so far: **39 %** of deaths in 270 of 300 cities.")
    return scene.turn


PROSE = (
    "Night temperatures decide more than those of the day: a body that cannot cool down by night has no "
    "reserve in the morning. Trees help twice, by **shade** and by the water that they give off.\n\n"
    "| City | Cover | Effect |\n|---|---:|---:|\n| Vienna | 30 % | -1.3 K |\n| Madrid | 12 % | -0.4 K |\n\n"
    "1. Measure where people sleep.\n2. Plant where it is hottest.\n3. Water in the first years.\n\n"
    "```python\ndef effect(cover: float) -> float:\n    return -0.043 * cover\n```\n\n"
)


def conversation(user: User, *, num_turns: int, num_steps: int = 0) -> Conversation:
    """A chat of so many turns of about 2 KB; the one before the last took so many steps."""
    last: Scene | None = None
    for number in range(num_turns):
        scene = Scene(user, question=f"Question {number}: what do trees do?", after=last)
        if num_steps and number == num_turns - 2:
            for step in range(num_steps):
                scene.step(
                    {"name": "web_search", "arguments": {"query": f"trees {step}"}, "result": PROSE},
                    think=f"Look at source {step}. " * 10,
                )
        scene.step(text=PROSE * 3)
        last = scene
    assert last
    return last.turn.conversation
