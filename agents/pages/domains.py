"""The operator's word on which domains are opened."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Domains:
    """Where `allowed` names any, no other is opened; `denied` stands above it. A domain means its subdomains,
    too."""

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()

    @classmethod
    def of(cls, *, allowed: Iterable[str] = (), denied: Iterable[str] = ()) -> Self:
        return cls(tuple(map(_plain, allowed)), tuple(map(_plain, denied)))

    def permits(self, host: str) -> bool:
        host = _plain(host)
        if any(_is_within(host, domain) for domain in self.denied):
            return False
        return not self.allowed or any(_is_within(host, domain) for domain in self.allowed)


def _plain(name: str) -> str:
    """In small letters and punycode, without dots around it or a leading "*."."""
    name = name.strip().casefold().removeprefix("*.").strip(".")
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _is_within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
