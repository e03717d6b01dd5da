"""The picture of a run and its twin, the list: as a piece of the page, as JSON, and as an SVG file."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from chat import activity, evidence, graph_layout, history, run_graph
from chat.models import Turn
from chat.run_nodes import Column, Node, Picture
from webapp.accounts.models import User

MOST_OPENED = 20


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A node of the list: `uses` are the titles of what it worked on, `entries` what came of it."""

    node: Node
    uses: tuple[str, ...]
    entries: "tuple[Entry, ...]"


@login_required
@require_GET
def graph(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """With `open`, the first steps of phases, their calls one by one. `as` json or svg: a file."""
    mine = Turn.objects.for_user(request.user).select_related("conversation", "model")
    turn = get_object_or_404(mine.prefetch_related(*activity.prefetches()), pk=turn_id)
    opened = _numbers(request.GET.getlist("open"))
    picture = run_graph.of(history.turn_view(turn), evidence.graph_of(turn), opened=opened)
    kind = request.GET.get("as", "")
    if kind == "json":
        return JsonResponse(picture.as_json())
    context: dict[str, Any] = {
        "turn": turn,
        "opened": opened,
        "drawing": graph_layout.draw(picture),
        "entries": entries_of(picture),
        "version": version_of(turn),
    }
    if kind == "svg":
        response = render(request, "chat/_graph_file.svg", context, content_type="image/svg+xml")
        response["Content-Disposition"] = f'attachment; filename="graph-{turn_id}.svg"'
        return response
    return render(request, "chat/_graph.html", context)


def version_of(turn: Turn) -> str:
    """Another one when the picture is worth a new look: each ten steps, and at the end."""
    return "done" if turn.status == Turn.Status.FINISHED else str(turn.next_step // 10)


def entries_of(picture: Picture) -> list[Entry]:
    """The picture as a nested list: each piece of work, what it found, what that bears out; then what the
    answer says beside that."""
    by_id = {node.id: node for node in picture.nodes}
    ahead: dict[str, list[str]] = {}
    uses: dict[str, list[str]] = {}
    for edge in picture.edges:
        if edge.manner == "used":
            uses.setdefault(edge.target, []).append(by_id[edge.source].title)
        else:
            ahead.setdefault(edge.source, []).append(edge.target)

    def entry(node: Node) -> Entry:
        inner = [by_id[one] for one in ahead.get(node.id, ()) if by_id[one].column < Column.ANSWER]
        inner = [one for one in inner if one.column > node.column or one.inside == node.id]
        return Entry(node=node, uses=tuple(uses.get(node.id, ())), entries=tuple(map(entry, inner)))

    reached = {target for targets in ahead.values() for target in targets}
    roots = [by_id[one] for one in ahead.get("question", ()) if by_id[one].column >= Column.WORK]
    alone = [node for node in picture.of(Column.SAID) if node.id not in reached]
    return [entry(node) for node in (*roots, *alone)]


def _numbers(texts: list[str]) -> list[int]:
    found = (int(text) for text in texts[:MOST_OPENED] if text.isascii() and text.isdigit() and len(text) < 6)
    return list(dict.fromkeys(found))
