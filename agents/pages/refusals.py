"""What a site says when it does not give a page, as a fault that a model can plan around. Nothing is
tricked."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agents.pages import extraction
from agents.pages.faults import ELSEWHERE, Kind, PageFault

_CAPTCHA = re.compile(
    rb"g-recaptcha|h-captcha|cf-turnstile|cf-challenge|challenge-platform|"
    rb"verify (?:that )?you are (?:a )?human|"
    rb"are you a robot|unusual traffic from your",
    re.IGNORECASE,
)
_SMALL_PAGE = 60_000  # bytes; a long page that speaks of captchas is no captcha
_BLOCKED = {
    401: "wants people to sign in",
    402: "wants to be paid",
    403: "does not let programs read this page",
    407: "wants people to sign in",
    429: "wants fewer requests",
    451: "does not show this page for legal reasons",
}
_BUSY = frozenset((429, 503))  # whose Retry-After is for all of the site


def of_status(status: int, headers: Mapping[str, str]) -> PageFault:
    """For a status that brings no page."""
    if status in _BLOCKED or headers.get("cf-mitigated") == "challenge":
        why = _BLOCKED.get(status, "wants proof that a person reads it")
        wait_s = pause_of(status, headers)
        wait = f" It may be asked again in {wait_s:.0f} seconds." if wait_s else ""
        return PageFault(Kind.BLOCKED, f"The site {why} (status {status}).{wait} {ELSEWHERE}")
    if status in (404, 410):
        return PageFault(Kind.NOT_FOUND, f"There is no such page (status {status}). Search for it.")
    return PageFault(Kind.FAILED, f"The site answered with status {status}. Try later, or another source.")


def is_page(status: int, headers: Mapping[str, str]) -> bool:
    return 200 <= status < 400 and headers.get("cf-mitigated") != "challenge"


def pause_of(status: int, headers: Mapping[str, str]) -> float:
    """For how many seconds the site asks to be left alone."""
    told = headers.get("retry-after", "").strip() if status in _BUSY else ""
    if told.isdecimal():
        return float(told[:9])
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0


def asked_to_wait(left_s: float) -> PageFault:
    why = f"The site has asked to be left alone: it may be asked again in {left_s:.0f} seconds."
    return PageFault(Kind.BLOCKED, f"{why} {ELSEWHERE}")


def of_type(content_type: str) -> PageFault | None:
    """None for what can be read."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in extraction.READABLE or media_type.startswith("text/"):
        return None
    return PageFault(Kind.UNREADABLE, f"A file of the type {media_type[:80]} cannot be read. {ELSEWHERE}")


def is_captcha(html: bytes) -> bool:
    return len(html) < _SMALL_PAGE and _CAPTCHA.search(html) is not None and b"<article" not in html


def captcha() -> PageFault:
    return PageFault(Kind.BLOCKED, f"The site wants proof that a person reads it (a captcha). {ELSEWHERE}")
