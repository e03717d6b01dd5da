"""Why a page was not opened, in kinds that a model can plan around."""

from enum import StrEnum

ELSEWHERE = "Look for the same in another source."


class Kind(StrEnum):
    """BLOCKED: the site does not want to be read by programs, or not without an account. REFUSED: this
    platform does not go there. The rest says itself."""

    BLOCKED = "blocked"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REDIRECTS = "too_many_redirects"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class PageFault(Exception):
    """The text is for the model: what is wrong, and what to do instead."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind
