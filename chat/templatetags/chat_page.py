"""What the templates say often: icons, figures with units, reasoning as paragraphs, the sidebar's list."""

import re
from decimal import Decimal
from typing import Any

from django import template
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from agents import limits
from chat import meters, preferences, sidebar, windows
from chat.models import Turn
from inference.schema import Usage
from webapp.billing import accounts, pricing
from webapp.catalog.models import ServedModel

register = template.Library()

SIGNS = {"USD": "$", "CNY": "¥"}
EMPHASIS = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|`([^`\n]+)`")


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#i-{}"/></svg>',
        extra,
        static("icons.svg"),
        name,
    )


@register.filter
def count(value: int) -> str:
    return number_format(value, use_l10n=True, force_grouping=True)


@register.filter
def size(num_bytes: int) -> str:
    """ "12 KB", "2.4 MB"."""
    if num_bytes < 1024:
        return _("%(n)s B") % {"n": count(num_bytes)}
    is_small = num_bytes < 2**20
    number = num_bytes / (2**10 if is_small else 2**20)
    shown = number_format(number, decimal_pos=1 if number < 10 else 0)
    return (_("%(n)s KB") if is_small else _("%(n)s MB")) % {"n": shown.removesuffix(".0")}


@register.filter
def answer_tokens(usage: Usage) -> int:
    """Output that is no reasoning."""
    return usage.output_tokens - usage.reasoning_tokens


@register.filter
def duration(milliseconds: int) -> str:
    """ "0.4 s", "32 s", "2 min 05 s"."""
    if milliseconds < 1000:
        return _("%(seconds)s s") % {"seconds": f"{max(milliseconds, 100) / 1000:.1f}"}
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": seconds}
    return _("%(minutes)s min %(seconds)s s") % {"minutes": seconds // 60, "seconds": f"{seconds % 60:02}"}


@register.filter
def money(amount: Decimal, currency: str) -> str:
    """Two digits after the point, or as many as show the first two that count: "$4.98", "$0.0014"."""
    digits = 2 if amount == 0 or abs(amount) >= Decimal("0.1") else min(6, 1 - amount.adjusted())
    return f"{SIGNS.get(currency, currency + ' ')}{amount:,.{digits}f}"


@register.filter
def paragraphs(reasoning: str) -> SafeString:
    """Reasoning as paragraphs; of its markup only **strong** and `code` are drawn, as the live view does."""
    blocks = (block for block in re.split(r"\n\s*\n", reasoning.strip()) if block.strip())
    return mark_safe("".join(f"<p>{EMPHASIS.sub(_emphasis, escape(block))}</p>" for block in blocks))


def _emphasis(match: re.Match[str]) -> str:
    strong, code = match.groups()
    return f"<strong>{strong}</strong>" if strong else f"<code>{code}</code>"


@register.filter
def context_meter(window: windows.Window | None) -> meters.Context | None:
    """How full the model's context is at the end of what a page shows."""
    return meters.context_of(window.turns[-1].turn) if window and window.turns else None


@register.filter
def speed(turn: Turn) -> str:
    """ "42 tokens/s"; empty where nobody took the time."""
    per_second = meters.tokens_per_second(turn)
    if per_second is None:
        return ""
    return _("%(n)s tokens/s") % {"n": number_format(per_second, decimal_pos=1 if per_second < 10 else 0)}


@register.filter
def most_reasoning(model: ServedModel) -> int:
    """The most that one step of this model may reason: the rest of its reply is left for the answer."""
    most = limits.preset("high", long_thinking=True, reply_tokens=model.max_output_tokens)
    return most.max_reasoning_tokens


@register.inclusion_tag("chat/_sidebar_list.html", takes_context=True)
def sidebar_list(context: dict[str, Any]) -> dict[str, Any]:
    request: HttpRequest = context["request"]
    return {
        "page": sidebar.page(request.user, now=timezone.now()),  # type: ignore[arg-type]  # behind login_required
        "current": context.get("conversation"),
    }


@register.simple_tag(takes_context=True)
def notifies(context: dict[str, Any]) -> bool:
    """Whether the person wants to be told by the browser that a run is over."""
    own = context.get("own") or preferences.of(context["request"].user)
    return bool(own.notifies_browser)


@register.simple_tag(takes_context=True)
def balance(context: dict[str, Any]) -> str:
    """What the person's account has left, in its own currency."""
    account = accounts.of(context["request"].user)
    return money(pricing.to_decimal(account.balance_nano), account.currency)
