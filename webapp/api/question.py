"""What a dialect is made of: a body that reads as one request on a model, and a writer of its answer.

The call itself (who may make it, its relay, its bill) knows these two shapes alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from inference.schema import ChatRequest, ContentDelta, Finished, ReasoningDelta, ToolCallDelta, Usage
from webapp.api.chat_reply import Reply
from webapp.catalog.models import ServedModel


class Writer(Protocol):
    """Writes one call's stream, or its one answer."""

    @property
    def keep(self) -> Callable[[], None] | None:
        """Writes down an answer that lasts. It is called in a thread for the database, once the answer is
        whole and before anybody is told of its end."""
        ...

    def ping(self) -> bytes:
        """What keeps a silent stream open."""
        ...

    def piece(self, index: int, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> bytes:
        """What choice number `index` says next."""
        ...

    def ending(self, reply: Reply, finished: Finished, *, usage: Usage | None = None) -> bytes:
        """Why the choice ended. With `usage`, that of the whole call, it is the stream's end."""
        ...

    def completion(self, replies: Sequence[Reply], *, usage: Usage) -> dict[str, Any]:
        """The answer to who wants no stream: all choices, each of which is finished."""
        ...


class Question(Protocol):
    """A body, checked as far as it can be without its model."""

    model: str

    @property
    def is_stream(self) -> bool: ...

    @property
    def num_choices(self) -> int: ...

    @property
    def asker(self) -> str:
        """The client's own user, where it names one."""
        ...

    @property
    def is_one_call_at_most(self) -> bool:
        """Whether each choice may call one tool and no more."""
        ...

    def to_chat_request(self, *, id: str, model: ServedModel, tenant: str) -> ChatRequest:
        """The call on the backend. Raises ApiError 400 for what this model cannot do."""
        ...

    def writer(self, request: ChatRequest, *, model: ServedModel) -> Writer: ...


# From the bytes of a body. Raises ApiError 400 that names the field.
Decode = Callable[[bytes], Question]
