"""What an answer rests on, in the panel: its sources, those it cites first, each with the passage that was
read."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from agents.passages import is_page
from chat import activity, evidence, quoting, run_graph
from chat.evidence import Citation, Support
from chat.models import Turn
from webapp.accounts.models import User

WORST_FIRST = ("contradicted", "unsupported", "unchecked", "uncited", "supported")


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@dataclass(frozen=True, kw_only=True)
class Place:
    """A sentence of the answer, in the content of `step`, that cites the source; `words` as it reads."""

    number: int
    step: int
    words: str


@dataclass(frozen=True, kw_only=True)
class SourceView:
    """`state` is what the check found of the sentences that cite it: a verdict of agents.verification, or
    altered where the passage is no longer the one that was read; empty where nothing was checked. `places`
    in the order of the answer."""

    citation: Citation
    excerpt: SafeString
    passage: SafeString
    state: str
    reasons: tuple[str, ...]
    places: tuple["Place", ...]

    @property
    def name(self) -> str:
        return self.citation.domain or self.citation.source

    @property
    def letter(self) -> str:
        return self.name.removeprefix("www.")[:1].upper()

    @property
    def is_address(self) -> bool:
        return is_page(self.citation.source)


@login_required
@require_GET
def sources(request: PageRequest, turn_id: UUID) -> HttpResponse:
    turns = Turn.objects.for_user(request.user).select_related("conversation", "model")
    turn = get_object_or_404(turns.prefetch_related(*activity.prefetches()), pk=turn_id)
    support = evidence.support_of(turn)
    views = [_view(citation, support) for citation in evidence.citations_of(turn)]
    context = {
        "turn": turn,
        "num_sources": len(views),
        "cited": [view for view in views if view.citation.cited],
        "read": [view for view in views if not view.citation.cited],
    }
    return render(request, "chat/_sources.html", context)


def _view(citation: Citation, support: Sequence[Support]) -> SourceView:
    citing = [one for one in support if citation.number in {other.number for other in one.citations}]
    spans = quoting.spans(citation.text, [one.text for one in citing])
    return SourceView(
        citation=citation,
        excerpt=quoting.excerpt(citation.text, spans),
        passage=quoting.marked(citation.text, spans),
        state=_state(citation, citing),
        places=_places(citation, citing),
        reasons=tuple(dict.fromkeys(one.reason for one in citing if one.reason)),
    )


def _places(citation: Citation, citing: Sequence[Support]) -> tuple[Place, ...]:
    """The sentences with a marker of it, each once."""
    marked = {
        (one.place.step, one.place.start): run_graph.plain(one.text)
        for one in citing
        if any(_lies_in(at, one.place) for at in citation.cited)
    }
    found = enumerate(sorted(marked.items()), start=1)
    return tuple(Place(number=number, step=step, words=words) for number, ((step, _start), words) in found)


def _lies_in(marker: evidence.Place, sentence: evidence.Place) -> bool:
    return marker.step == sentence.step and sentence.start <= marker.start < sentence.end


def _state(citation: Citation, citing: Sequence[Support]) -> str:
    if not citation.is_intact:
        return "altered"
    verdicts = {one.verdict for one in citing}
    return next((verdict for verdict in WORST_FIRST if verdict in verdicts), "")
