"""The Long Thinking switch in the four spellings that clients use, read as one.

thinking: {"type": "enabled" | "disabled", "budget_tokens": 4096, "effort": "low"}
reasoning_effort: none | minimal | low | medium | high | xhigh | max
chat_template_kwargs: {"thinking": true} or {"enable_thinking": true}
(none of these)       the model's own way: one that always thinks does, others answer directly
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from inference.schema import Thinking
from webapp.api.errors import bad_request
from webapp.catalog.models import ServedModel

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

# None leaves it to the model when to stop.
BUDGETS: dict[Effort, int | None] = {
    "minimal": 512,
    "low": 1_024,
    "medium": 8_192,
    "high": None,
    "xhigh": None,
    "max": None,
}


class ThinkingField(Struct):
    """`keep` may be sent and changes nothing: reasoning is kept for the running tool loop."""

    type: Literal["enabled", "disabled"] = "enabled"
    budget_tokens: Annotated[int, Meta(ge=1)] | None = None
    effort: Effort | None = None
    keep: Literal["all"] | None = None


class TemplateKwargs(Struct):
    thinking: bool | None = None
    enable_thinking: bool | None = None


def read(
    field: ThinkingField | None,
    effort: Effort | None,
    kwargs: TemplateKwargs | None,
    *,
    model: ServedModel,
) -> Thinking:
    """The first spelling that is there decides. Raises ApiError 400 when the model cannot do what it says."""
    always = model.thinking_dialect == ServedModel.ThinkingDialect.ALWAYS
    param, asked = _asked(field, effort, kwargs)
    if asked is None:
        return Thinking(enabled=always)
    if asked.enabled and not model.thinks:
        raise bad_request(f"{model.label} cannot think: leave `{param}` out.", param=param)
    if always and not asked.enabled:
        raise bad_request(f"{model.label} always thinks: leave `{param}` out.", param=param)
    return asked


def _asked(
    field: ThinkingField | None, effort: Effort | None, kwargs: TemplateKwargs | None
) -> tuple[str, Thinking | None]:
    if field is not None:
        is_enabled = field.type == "enabled" and field.effort != "none"
        budget = field.budget_tokens or (BUDGETS.get(field.effort) if field.effort else None)
        return "thinking", Thinking(enabled=is_enabled, budget_tokens=budget)
    if effort is not None:
        return "reasoning_effort", Thinking(enabled=effort != "none", budget_tokens=BUDGETS.get(effort))
    if kwargs is None or (kwargs.thinking, kwargs.enable_thinking) == (None, None):
        return "", None
    is_on = kwargs.enable_thinking if kwargs.thinking is None else kwargs.thinking
    return "chat_template_kwargs", Thinking(enabled=bool(is_on))
