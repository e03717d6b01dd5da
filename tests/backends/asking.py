"""How the backend tests ask, and what they keep of the answer."""

from dataclasses import dataclass, field

from inference.backends.base import ChatBackend
from inference.schema import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Finished,
    ReasoningDelta,
    Role,
    ToolCall,
    ToolCallDelta,
)


@dataclass
class Answer:
    deltas: list[ChatDelta] = field(default_factory=list)

    @property
    def reasoning(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, ReasoningDelta))

    @property
    def content(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, ContentDelta))

    @property
    def tool_calls(self) -> list[ToolCall]:
        pieces = [delta for delta in self.deltas if isinstance(delta, ToolCallDelta)]
        return [
            ToolCall(
                id=first.id,
                name=first.name,
                arguments="".join(piece.arguments for piece in pieces if piece.index == first.index),
            )
            for first in pieces
            if first.id
        ]

    @property
    def finished(self) -> Finished:
        """The one `Finished`, which must be last."""
        assert [type(delta) for delta in self.deltas].count(Finished) == 1
        last = self.deltas[-1]
        assert isinstance(last, Finished)
        return last


def ask(text: str = "hi", **changes) -> ChatRequest:
    message = ChatMessage(role=Role.USER, content=text)
    return ChatRequest(**({"id": "request-1", "model": "scripted", "messages": (message,)} | changes))


async def collect(backend: ChatBackend, request: ChatRequest, *, into: Answer | None = None) -> Answer:
    """The whole answer; what came before a fault stays in `into`."""
    answer = into or Answer()
    async for delta in backend.stream(request):
        answer.deltas.append(delta)
    return answer
