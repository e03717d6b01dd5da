"""How long a page may be used again without asking for it, and how to ask whether it has changed: RFC 9111,
for requests that are all the same and carry no credentials. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

LONGEST_S = 7 * 86_400.0
HEURISTIC_SHARE = 0.1  # of the time since it was last changed, where nothing else is said
LONGEST_GUESS_S = 86_400.0
_DIRECTIVE = re.compile(r'([a-z-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,]*)))?', re.IGNORECASE)


class Freshness(msgspec.Struct, frozen=True):
    """`is_public`: whoever asks gets the same, as the site itself says. `may_keep`: beyond the turn that read
    it."""

    fresh_until: datetime
    etag: str = ""
    last_modified: str = ""
    is_public: bool = False
    may_keep: bool = True

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the page only if it has changed."""
        asked = {"if-none-match": self.etag, "if-modified-since": self.last_modified}
        return {name: value for name, value in asked.items() if value}


def of(headers: Mapping[str, str], *, now: datetime) -> Freshness:
    """Of an answer that came now. The names of headers are matched as the mapping does it."""
    said = _directives(headers.get("cache-control", ""))
    must_ask = "no-cache" in said or headers.get("vary", "").strip() == "*"
    lifetime_s = 0.0 if must_ask else _lifetime_s(headers, said, now)
    left_s = min(max(0.0, lifetime_s - _age_s(headers, now)), LONGEST_S)
    is_public = ("public" in said or "s-maxage" in said) and "private" not in said
    return Freshness(
        fresh_until=now + timedelta(seconds=left_s),
        etag=headers.get("etag", "")[:500],
        last_modified=headers.get("last-modified", "")[:100],
        is_public=is_public and "set-cookie" not in headers,
        may_keep="no-store" not in said,
    )


def renewed(kept: Freshness, headers: Mapping[str, str], *, now: datetime) -> Freshness:
    """After the site has said that nothing changed: what it says anew counts, the rest stays."""
    said = of(headers, now=now)
    return Freshness(
        fresh_until=said.fresh_until,
        etag=said.etag or kept.etag,
        last_modified=said.last_modified or kept.last_modified,
        is_public=said.is_public if "cache-control" in headers else kept.is_public,
        may_keep=said.may_keep,
    )


def _lifetime_s(headers: Mapping[str, str], said: Mapping[str, str], now: datetime) -> float:
    for name in ("s-maxage", "max-age"):
        if name in said:
            return float(said[name]) if said[name].isdecimal() else 0.0
    made_at = _time(headers.get("date", "")) or now
    if "expires" in headers:
        expires_at = _time(headers["expires"])  # one that cannot be read is past
        return (expires_at - made_at).total_seconds() if expires_at else 0.0
    changed_at = _time(headers.get("last-modified", ""))
    if changed_at is None:
        return 0.0
    return min(HEURISTIC_SHARE * max(0.0, (made_at - changed_at).total_seconds()), LONGEST_GUESS_S)


def _age_s(headers: Mapping[str, str], now: datetime) -> float:
    """How old the answer was when it came: a cache on the way may have kept it."""
    told = headers.get("age", "").strip()
    made_at = _time(headers.get("date", ""))
    apparent = (now - made_at).total_seconds() if made_at else 0.0
    return max(float(told) if told.isdecimal() and len(told) < 12 else 0.0, apparent, 0.0)


def _directives(text: str) -> dict[str, str]:
    found = _DIRECTIVE.finditer(text[:2_000])
    return {one[1].lower(): (one[2] or one[3] or "").strip()[:12] for one in found}


def _time(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
