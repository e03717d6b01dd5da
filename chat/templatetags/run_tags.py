"""What the templates ask of a turn of many steps: its head, its phases in words, what is planned next."""

from typing import Any

from django import template
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat import call_lines, folding, runs
from chat.history import TurnView

register = template.Library()

FEWEST_OF_RUN, FEWEST_OF_LIVE_RUN = 8, 2  # steps that have a head
FEWEST_TO_FILTER = 8
MOST_PLANNED = 3  # lines of a plan that stand below the steps


@register.filter
def stretches(view: TurnView) -> list[folding.Stretch]:
    return folding.stretches(view.steps, is_live=not view.is_finished)


@register.inclusion_tag("chat/_run.html")
def run_of(view: TurnView) -> dict[str, Any]:
    """The head of a turn of many steps; nothing of a shorter one."""
    if not _has_head(view):
        return {"run": None}
    return {"run": runs.of(view.turn, now=timezone.now()), "currency": view.currency}


def _has_head(view: TurnView) -> bool:
    least = FEWEST_OF_RUN if view.is_finished else FEWEST_OF_LIVE_RUN
    return not view.turn.spawned_by_id and view.turn.next_step > least


@register.inclusion_tag("chat/_ahead_rows.html")
def ahead_of(view: TurnView) -> dict[str, Any]:
    """Below the steps of a turn that has a head and no end: what its plan holds yet, and the strip's
    tones."""
    if not _has_head(view) or (view.is_finished and not view.turn.limit):
        return {}
    planned = [item for item in view.turn.plan_items.all() if item.status == "todo"]
    shown = planned[:MOST_PLANNED]
    names = {"python": _("Python"), "search": _("search"), "browse": _("page"), "tool": _("other tool")}
    names |= {"think": _("thought"), "error": _("error")}
    keys = [] if view.is_finished else list(names.items())
    return {"planned": shown, "num_more": len(planned) - len(shown), "keys": keys}


@register.simple_tag
def chips_of(run: runs.Run) -> list[tuple[str, str, int]]:
    """By what the steps of a long turn can be shown: the name and number of each kind that there is."""
    if run.num_steps < FEWEST_TO_FILTER:
        return []
    names = {"search": _("Search"), "browse": _("Browse"), "python": _("Python"), "error": _("Errors")}
    found = [(kind, name, run.counts[kind]) for kind, name in names.items() if kind in run.counts]
    return [("", _("All"), run.num_steps), *found] if found else []


@register.filter
def tally(phase: folding.Phase) -> str:
    """ "3 searches, 5 pages, Python ×9"."""
    return call_lines.counted(phase.tally)


@register.filter
def told(phase: folding.Phase) -> str:
    """The same as a sentence, for a phase that no plan names: "Searched 3 times, ran Python"."""
    text = _(", ").join(_done(kind, times) for kind, times in phase.tally)
    return text[:1].upper() + text[1:]


def _done(kind: str, times: int) -> str:
    words = {
        "search": ngettext("searched once", "searched %(n)d times", times),
        "browse": ngettext("read %(n)d page", "read %(n)d pages", times),
        "tool": ngettext("made %(n)d other call", "made %(n)d other calls", times),
        "think": ngettext("thought once", "thought %(n)d times", times),
        "python": _("ran Python ×%(n)d") if times > 1 else _("ran Python"),
    }
    return words[kind] % {"n": times}


@register.filter
def roughly(milliseconds: int) -> str:
    minutes = max(1, round(milliseconds / 60_000))
    hours = round(minutes / 60)
    if minutes > 90:
        return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    return _("%(n)d min") % {"n": minutes}


@register.filter
def plain(figure: float) -> str:
    """As SVG reads it, whatever the language."""
    return f"{figure:g}"


@register.filter
def clock(milliseconds: int) -> str:
    """ "14:05", "1:02:07"."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@register.filter
def seconds_clock(seconds: int) -> str:
    return clock(seconds * 1000)


@register.simple_tag
def strip_words(run: runs.Run) -> str:
    """What the strip shows, in words."""
    names = {
        "search": _("searches"),
        "browse": _("pages"),
        "python": _("programs"),
        "tool": _("other tools"),
        "think": _("thoughts"),
        "error": _("errors"),
    }
    counted = ", ".join(f"{run.counts[kind]} {name}" for kind, name in names.items() if kind in run.counts)
    return _("One mark a step: %(counts)s") % {"counts": counted}
