"""What the templates of a turn ask of it: how its steps are laid out, its notes in words, its answer with
citations and doubts."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from agents import verification
from agents.happenings import PlanLine
from agents.passages import host_of
from agents.tooling import outgoing
from agents.transcript import Note, NoteKind
from chat import (
    activity,
    answer_marks,
    call_lines,
    evidence,
    files,
    forms,
    plan_text,
    quoting,
    wording,
)
from chat.activity import AgentView, PhaseView, Savings, WaitView
from chat.answer_marks import Doubt
from chat.history import TurnView
from chat.models import Artifact, Conversation, Passage
from chat.step_views import StepView, ToolCallView
from chat.templatetags.chat_page import icon

register = template.Library()


STATUS_ICONS = {"todo": "moon-new", "doing": "moon-half", "done": "check", "dropped": "close"}
NOTE_ICONS = {
    NoteKind.BUDGET: "hourglass",
    NoteKind.GUARD: "again",
    NoteKind.HIDDEN: "archive",
    NoteKind.HANDOFF: "archive",
    NoteKind.ROLLBACK: "branch",
    NoteKind.CHECK: "shield",
    NoteKind.TEAM: "lanes",
    NoteKind.PLAN: "edit",
    NoteKind.STEER: "chat",
}


@register.filter
def num_calls(view: TurnView) -> int:
    return sum(len(step.tool_calls) for step in view.steps)


# ---- calls


@register.simple_tag
def call_line(call: ToolCallView) -> dict[str, Any]:
    """What its row says of it."""
    line = call_lines.of(call.name)
    return {
        "label": line.label,
        "icon": line.icon,
        "is_code": line.is_code,
        "object": call_lines.object_of(call.name, call.arguments),
        "input": call_lines.input_of(call.arguments),
        "gist": call_lines.gist(call.result),
    }


@register.filter
def tool_label(name: str) -> str:
    return str(call_lines.of(name).label)


@register.simple_tag
def tool_lines() -> dict[str, call_lines.Line]:
    return call_lines.LINES


@register.filter
def as_json(call: ToolCallView) -> str:
    """All of the call and its result, to be taken elsewhere; arguments that are JSON as such."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    whole = {
        "id": call.id,
        "name": call.name,
        "arguments": arguments,
        "result": call.result,
        "is_error": call.is_error,
        "duration_ms": call.duration_ms,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False)


# ---- notes


@register.filter
def note_icon(note: Note) -> str:
    return NOTE_ICONS[note.kind]


@register.filter
def note_title(note: Note) -> str:
    return wording.of_note(note)


@register.filter
def note_tone(note: Note) -> str:
    """How much a note is to be noticed."""
    is_end = note.kind is NoteKind.BUDGET and note.data.get("share", 0) >= 1
    is_bad = note.kind is NoteKind.CHECK and wording.num_unsupported(note)
    return "warning" if is_end or is_bad else "plain"


@register.filter
def doubts_of(note: Note) -> list[str]:
    """Why each bad sentence of a checked answer is bad."""
    return [_why(finding) for finding in wording.unsupported(note)]


# ---- the answer


@register.simple_tag
def answer_html(view: TurnView, step: StepView) -> SafeString:
    """The step's content; of a finished turn with its citations and the sentences that nothing supports."""
    passages = view.passages
    html: str = step.content_html or answer_marks.plain(step.content)
    if findings := _doubts(view, step):
        doubts = [
            Doubt(start=found["start"], end=found["end"], is_quiet=found["verdict"] == "unchecked")
            for found in findings
        ]
        html = answer_marks.with_doubts(
            step.content,
            doubts,
            draw=lambda index: _doubt(view, step, index, findings[index]),
        )
    if passages:
        html = answer_marks.with_citations(html, passages, draw=lambda number: _citation(view, number))
    return mark_safe(_with_care(view, html))


def _with_care(view: TurnView, html: str) -> str:
    return html if view.known_addresses is None else answer_marks.with_care(html, view.known_addresses)


def _why(finding: dict[str, Any]) -> str:
    words = evidence.reason(str(finding.get("fault", "")), str(finding.get("detail", "")))
    return words or str(finding.get("reason", ""))


def _doubts(view: TurnView, step: StepView) -> list[dict[str, Any]]:
    """What the check of the whole answer found of this step's part, in the order of the text."""
    if step.is_draft or step.is_undone or not view.is_finished:
        return []
    checks = [note for note in view.notes if note.kind is NoteKind.CHECK and "sentences" in note.data]
    found = wording.doubtful(checks[-1]) if checks else []
    here = [one for one in found if one.get("step", step.number) == step.number]
    return sorted(here, key=lambda finding: finding["start"])


def _doubt(view: TurnView, step: StepView, index: int, finding: dict[str, Any]) -> str:
    is_quiet = finding["verdict"] == "unchecked"
    return format_html(
        '<button class="doubt__why{manner}" type="button" popovertarget="{id}"'
        ' aria-label="{label}">?</button>'
        '<span class="card" id="{id}" popover role="note">'
        '<span class="card__title">{title}</span>{why}</span>',
        manner=" doubt__why--quiet" if is_quiet else "",
        id=f"doubt-{view.turn.pk}-{step.number}-{index}",
        label=_("Not checked: why") if is_quiet else _("Not supported: why"),
        title=_("This sentence could not be checked")
        if is_quiet
        else _("Nothing found supports this sentence"),
        why=_why(finding),
    )


def _citation(view: TurnView, number: int) -> str:
    return format_html(
        '<button class="cite" type="button" popovertarget="passage-{turn}-{number}"'
        ' aria-label="{label}">{number}</button>',
        turn=view.turn.pk,
        number=number,
        label=_("Source %(number)d") % {"number": number},
    )


@register.filter
def is_annotated(view: TurnView, step: StepView) -> bool:
    """Whether the step's content is drawn otherwise than while it was written."""
    cites = bool(view.passages) and not answer_marks.cited(step.content).isdisjoint(view.passages)
    html = step.content_html or ""
    return cites or bool(_doubts(view, step)) or _with_care(view, html) != html


@register.filter
def cited_passages(view: TurnView) -> list[Passage]:
    return [view.passages[number] for number in sorted(view.passages)]


@register.filter
def site_name(passage: Passage) -> str:
    """Where it stands: the host of a page, the name of a file."""
    return host_of(passage.source).removeprefix("www.") or file_name(passage.source)


@register.filter
def site_letter(passage: Passage) -> str:
    return site_name(passage)[:1].upper()


@register.simple_tag
def quoted_in(view: TurnView, passage: Passage) -> SafeString:
    """The beginning of the passage, or its part that the answer stands on, which is marked."""
    citing = [
        sentence.text for sentence in verification.split(view.answer) if passage.number in sentence.numbers
    ]
    return quoting.around(passage.text, quoting.spans(passage.text, citing))


@register.simple_tag
def num_sources(conversation: Conversation) -> int:
    """How many passages the answer on show has read."""
    return Passage.objects.filter(turn=conversation.current_turn_id).count()


@register.simple_tag
def artifacts_of(view: TurnView, call_id: str) -> list[Artifact]:
    """What a call left besides its result."""
    return [artifact for artifact in view.turn.artifacts.all() if artifact.call_id == call_id]


@register.simple_tag
def pictures_of(view: TurnView, call_id: str) -> list[Artifact]:
    """The pictures among them."""
    return [artifact for artifact in artifacts_of(view, call_id) if artifact.media_type in files.PICTURES]


@register.filter
def alt_text(name: str) -> str:
    """What a file's name says of a picture: "deaths_by-city.png" as "deaths by city"."""
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    return stem.replace("_", " ").replace("-", " ").strip() or name


@register.filter
def file_name(path: str) -> str:
    return path.rpartition("/")[2]


# ---- waits


@register.filter
def waits(view: TurnView) -> list[WaitView]:
    return activity.waits(view.turn)


@register.filter
def fingerprint(wait: WaitView) -> str:
    return forms.fingerprint(wait.arguments)


@register.filter
def pretty(arguments: str) -> str:
    """JSON with a line for each value; what is no JSON as it is."""
    try:
        return json.dumps(json.loads(arguments or "{}"), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


@register.filter
def asked(tool: str) -> str:
    return wording.of_approval(tool)


@register.filter
def tool_name(tool: str) -> str:
    line = call_lines.LINES.get(tool)
    return str(line.label) if line else wording.named(tool)


@register.filter
def host(wait: WaitView) -> str:
    """Where the first address among its arguments leads."""
    return urlsplit(next(outgoing.urls_of(wait.arguments), "")).netloc


@register.filter
def why(wait: WaitView) -> str:
    return wording.of_prompt(wait.prompt)


@register.filter
def ms(wait: WaitView) -> int:
    return int(wait.expires_at.timestamp() * 1000) if wait.expires_at else 0


@register.filter
def days_left(wait: WaitView) -> int:
    return max(0, (wait.expires_at - timezone.now()).days) if wait.expires_at else 0


# ---- the plan


@register.filter
def phases(view: TurnView) -> list[PhaseView]:
    return activity.phases(view.turn)


@register.filter
def proposed(wait: WaitView) -> str:
    """A plan that waits for approval, as its editor shows it."""
    return plan_text.write(forms.planned(wait.arguments))


@register.filter
def as_text(phases: Sequence[PhaseView]) -> str:
    return plan_text.write(
        PlanLine(text=item.text, phase=item.phase, status=item.status)
        for phase in phases
        for item in phase.items
    )


@register.filter
def num_done(phases: Sequence[PhaseView]) -> int:
    return sum(item.status == "done" for phase in phases for item in phase.items)


@register.filter
def num_items(phases: Sequence[PhaseView]) -> int:
    return sum(item.status != "dropped" for phase in phases for item in phase.items)


@register.simple_tag
def status_icon(status: str) -> SafeString:
    return icon(STATUS_ICONS.get(status, "moon-new"))


# ---- agents, the foot


@register.filter
def agents(view: TurnView) -> list[AgentView]:
    return view.agents


@register.filter
def savings(view: TurnView) -> Savings:
    return view.savings


@register.filter
def last_check(view: TurnView) -> dict[str, int] | None:
    """The check of the answer that was shipped."""
    checks = [note for note in view.notes if note.kind is NoteKind.CHECK and "num_sentences" in note.data]
    if not checks or checks[-1].data.get("must_revise"):
        return None
    return checks[-1].data


@register.simple_tag
def new_id() -> str:
    return str(uuid4())
