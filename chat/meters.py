"""How fast a model wrote, and how much of its window a conversation fills, as its replies have counted."""

from dataclasses import dataclass

from chat.models import Message, Turn


@dataclass(frozen=True, kw_only=True)
class Context:
    """`used` is what the last reply of the branch on show read and wrote, which its next one reads again."""

    used: int
    limit: int

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.used / self.limit)) if self.limit else 0

    @property
    def is_tight(self) -> bool:
        """Soon what is old leaves the view."""
        return self.percent >= 80


def context_of(turn: Turn) -> Context | None:
    """As the turn left it; None before it has a reply that was counted."""
    replies = [one for one in turn.messages.all() if one.role == Message.Role.ASSISTANT and _read(one)]
    if not replies:
        return None
    last = replies[-1]
    # Its reasoning leaves the view with the turn.
    used = _read(last) + last.output_tokens - last.reasoning_tokens
    return Context(used=used, limit=turn.model.context_tokens)


def _read(reply: Message) -> int:
    return reply.input_uncached_tokens + reply.input_cached_tokens


def tokens_per_second(turn: Turn) -> float | None:
    """Over all the replies of a turn, tools and waits left out; None where nobody took the time."""
    replies = [message for message in turn.messages.all() if message.role == Message.Role.ASSISTANT]
    milliseconds = sum(reply.duration_ms for reply in replies)
    written = sum(reply.output_tokens for reply in replies)
    return 1000 * written / milliseconds if milliseconds and written else None
