"""Where the nodes of a run's picture and list lead."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils.translation import gettext as _

from chat.graph_layout import Box
from chat.models import Turn
from chat.run_nodes import Column, Node

register = template.Library()


@dataclass(frozen=True, kw_only=True)
class Link:
    """`place` is a selector of what is shown in the conversation, `words` what is looked for in there."""

    address: str
    state: str = ""
    is_panel: bool = False
    unfolds: bool = False
    place: str = ""
    words: str = ""


@register.simple_tag
def graph_link(node: Node, turn: Turn, opened: Iterable[int]) -> Link:
    section = f"#turn-{turn.pk}"
    if node.call:
        query = urlencode({"call": node.call})
        return Link(address=f"{reverse('call', args=[turn.pk])}?{query}", is_panel=True)
    if node.number:
        place = f"#source-{turn.pk}-{node.number}" if node.number > 0 else ""
        return Link(address=reverse("sources", args=[turn.pk]) + place, is_panel=True)
    if node.kind == "phase":
        shown = [step for step in opened if step != node.first]
        shown += [] if node.first in opened else [node.first]
        state = _("open") if node.is_open else _("folded")
        return Link(address=graph_address(turn, shown), state=state, unfolds=True)
    if node.agent:
        return Link(address=section, place=f"{section} [data-agent='{node.agent}']")
    if node.kind == "question":
        return Link(address=section, place=f"{section} > .ask")
    if node.step:
        place = f"{section} [data-step='{node.step}'] > .answer"
        words = node.text if node.kind == "sentence" else ""
        return Link(address=section, place=place, words=words)
    return Link(address=section)


@register.simple_tag
def graph_address(turn: Turn, opened: Iterable[int], **more: str) -> str:
    query = urlencode([*(("open", step) for step in opened), *more.items()])
    return reverse("run_graph", args=[turn.pk]) + (f"?{query}" if query else "")


@register.simple_tag
def fold_mark(box: Box) -> str:
    """A chevron at the right of a phase: down when it is open."""
    x, y = box.x + box.width - 16, round(box.middle)
    return f"M{x - 3} {y - 2}l4 4l4 -4" if box.node.is_open else f"M{x} {y - 4}l4 4l-4 4"


@register.filter
def column_name(column: Column) -> int:
    return int(column)
