"""What the composer offers and starts with: the presets of each effort, the choices of the last turn."""

from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from agents import limits
from agents.limits import Effort, Limits
from chat.models import Thinking, Turn
from webapp.billing import pricing
from webapp.catalog.models import ServedModel


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One line of the effort menu; its moon waxes with the effort."""

    effort: Effort
    label: str
    note: str
    moon: str
    limits: Limits

    @property
    def max_cost(self) -> Decimal | str:
        """In the account's currency, plainly written; empty for no limit."""
        nano = self.limits.max_cost_nano
        return "" if nano is None else f"{pricing.to_decimal(nano):f}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is set before the person touches anything. `model` is None when none is offered."""

    model: ServedModel | None
    long_thinking: bool
    effort: str


def presets() -> list[Preset]:
    """Low to Heavy; a model with shorter replies lowers their reasoning tokens on the page."""
    described: list[tuple[Effort, str, str, str]] = [
        ("low", _("Low"), _("Brief reasoning, then the answer."), "moon-crescent"),
        ("auto", _("Auto"), _("Thinks as long as the question deserves."), "moon-half"),
        ("high", _("High"), _("Plans, calls tools and checks itself."), "moon-full"),
        ("heavy", _("Heavy"), _("Eight paths at once, one answer by their votes."), "moon-ring"),
    ]
    return [
        Preset(
            effort=effort,
            label=label,
            note=note,
            moon=moon,
            limits=limits.preset(effort, long_thinking=True, reply_tokens=limits.HIGHEST.max_output_tokens),
        )
        for effort, label, note, moon in described
    ]


def choice(models: list[ServedModel], last_turn: Turn | None, *, begins: str = "") -> Choice:
    """As the last turn had it, if its model is still offered; else the first model, answering directly.
    `begins` is how the person wants new chats to begin, if they said (`Thinking`)."""
    offered = {model.pk: model for model in models}
    first = models[0] if models else None
    model = offered.get(last_turn.model_id, first) if last_turn else first
    effort = last_turn.effort if last_turn else Turn.Effort.AUTO
    long_thinking = last_turn is not None and last_turn.long_thinking
    if begins:
        long_thinking = begins != Thinking.OFF
        effort = begins if long_thinking else effort
    return Choice(model=model, long_thinking=long_thinking, effort=effort)
