"""The port every model is reached through, and the faults it may raise. Knows no provider, no transport."""

from collections.abc import AsyncGenerator
from typing import Protocol

from inference.schema import ChatDelta, ChatRequest


class BackendError(Exception):
    """Any fault of a backend; its text is fit to show to a user and says what to do."""


class BackendUnavailable(BackendError):
    """Nobody answers: worth a retry once a worker or the provider is back."""


class BackendOverloaded(BackendError):
    """The backend refuses for now; retry after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestRejected(BackendError):
    """The request itself is at fault (too long, unknown model, bad parameter); a retry fails the same way."""


class BackendMisconfigured(RequestRejected):
    """The backend was given a wrong key, or knows no such model: what an operator mends, not who asked."""


class PromptTooLong(RequestRejected):
    """The messages do not fit into the model's context: a shorter conversation would be answered."""


class StreamBroken(BackendError):
    """The stream ended before `Finished`; what came before it is kept by the caller."""


class ChatBackend(Protocol):
    """A model that answers in deltas."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """Yield reasoning, then content and tool calls, then exactly one `Finished`, last.

        Closing the generator (`aclose`) aborts the request upstream. Raises `BackendError` subclasses.
        """
        ...

    async def is_ready(self) -> bool:
        """True when a request sent now would be served."""
        ...

    async def aclose(self) -> None:
        """Give back connections; the backend is not used afterwards."""
        ...
