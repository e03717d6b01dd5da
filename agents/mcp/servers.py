"""Which MCP servers the operator lets the models use, and how far each is trusted: one TOML file."""

import re
import tomllib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import url_guard
from agents.sandbox.launch import OWN_UID, Bounds, Program
from agents.tool import TOOL_TIMEOUT_S, Approval, Caching, Effect, Scope
from agents.url_guard import Rules, UrlRefused

# A tool's whole name, mcp__server__tool, has at most 64 characters.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|_(?!_)){0,19}", re.ASCII)
_SERVER_KEYS = frozenset(
    (
        "command",
        "url",
        "environment",
        "headers",
        "readable",
        "writable",
        "network",
        "private",
        "vouched",
        "memory_mb",
        "uid",
    )
    + ("only", "tools", "effect", "approval", "idempotent", "cache_s", "timeout_s")
)
_TOOL_KEYS = frozenset({"effect", "approval", "idempotent", "cache_s", "timeout_s"})
BEHIND_PUBLIC_PORTS = Rules(ports=frozenset(range(1, 65_536)))

NUM_UIDS = 499

Lookup = Callable[[str], str]


class BadServers(Exception):
    """The file of MCP servers cannot be used; the text names the place and what to write there."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What the operator says of a tool; None where nothing is said."""

    effect: Effect | None = None
    approval: Approval | None = None
    is_idempotent: bool | None = None
    caching: Caching | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A server over streamable HTTP. `rules` say where its connections may go."""

    url: str
    headers: Mapping[str, str]
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server. `only` names the tools that are offered; empty: all of them. `is_vouched`: the operator
    takes what it says of its tools for their own words."""

    name: str
    place: Program | Remote
    only: frozenset[str] = frozenset()
    treatment: Treatment = Treatment()
    tools: Mapping[str, Treatment] = field(default_factory=dict)
    is_vouched: bool = False

    @property
    def timeout_s(self) -> float:
        return self.treatment.timeout_s or TOOL_TIMEOUT_S


def read(text: str, *, lookup: Lookup) -> tuple[Server, ...]:
    """The servers of a TOML text, by name. `lookup` gives the secret that a value like "$NAME" stands for; it
    raises KeyError. Raises BadServers."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise BadServers(f"This is no TOML: {fault}") from fault
    return parse(document, lookup=lookup)


def parse(document: Mapping[str, Any], *, lookup: Lookup) -> tuple[Server, ...]:
    if unknown := sorted(set(document) - {"servers"}):
        raise BadServers(f"Unknown section {unknown[0]!r}: a server's section is [servers.NAME].")
    sections = _table(document.get("servers", {}), "servers")
    servers = tuple(
        _server(name, _Section(f"servers.{name}", section, lookup))
        for name, section in sorted(sections.items())
    )
    _check_uids(servers)
    return servers


def _check_uids(servers: tuple[Server, ...]) -> None:
    owners: dict[int, str] = {}
    for server in servers:
        if not isinstance(server.place, Program):
            continue
        if (other := owners.setdefault(server.place.uid, server.name)) != server.name:
            raise BadServers(
                f"servers.{server.name} and servers.{other} would run as one user: give one a `uid`."
            )


class _Section:
    """A table of the file whose values are checked as they are taken."""

    def __init__(
        self, place: str, table: Any, lookup: Lookup, *, keys: frozenset[str] = _SERVER_KEYS
    ) -> None:
        self.place = place
        self._table = _table(table, place)
        self._lookup = lookup
        if unknown := sorted(set(self._table) - keys):
            raise BadServers(f"{place}: unknown key {unknown[0]!r}. Known are {', '.join(sorted(keys))}.")

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def take(self, key: str, kind: type, default: Any, what: str) -> Any:
        value = self._table.get(key, default)
        if value is not default and (not isinstance(value, kind) or (kind is not bool and value is True)):
            raise BadServers(f"{self.place}.{key} must be {what}.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list, [], "a list of texts")
        if not all(isinstance(value, str) and value for value in values):
            raise BadServers(f"{self.place}.{key} must be a list of texts.")
        return tuple(values)

    def paths(self, key: str) -> tuple[Path, ...]:
        paths = tuple(Path(value) for value in self.texts(key))
        if bad := next((path for path in paths if not path.is_absolute()), None):
            raise BadServers(f"{self.place}.{key}: {str(bad)!r} must be an absolute path.")
        return paths

    def secrets(self, key: str) -> dict[str, str]:
        """A table of texts; one that begins with "$" names the setting that holds the value."""
        table = self.take(key, dict, {}, "a table of texts")
        return {name: self._secret(key, name, value) for name, value in table.items()}

    def _secret(self, key: str, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise BadServers(f"{self.place}.{key}.{name} must be a text.")
        if not value.startswith("$"):
            return value
        try:
            return self._lookup(value[1:])
        except KeyError:
            raise BadServers(
                f"{self.place}.{key}.{name}: set {value[1:]} in the environment, or {value[1:]}_FILE."
            ) from None

    def positive(self, key: str) -> float | None:
        value = self.take(key, int | float, None, "a number above zero")  # type: ignore[arg-type]
        if value is not None and not value > 0:
            raise BadServers(f"{self.place}.{key} must be a number above zero.")
        return None if value is None else float(value)

    def treatments(self) -> dict[str, Treatment]:
        tables = self.take("tools", dict, {}, "a table of tools")
        return {
            name: _treatment(_Section(f"{self.place}.tools.{name}", table, self._lookup, keys=_TOOL_KEYS))
            for name, table in tables.items()
        }


def _server(name: str, section: _Section) -> Server:
    if not _NAME.fullmatch(name):
        raise BadServers(
            f"{section.place}: a server's name has up to 20 of a-z, 0-9, - and _, with no two _ in a row."
        )
    if ("command" in section) == ("url" in section):
        raise BadServers(f"{section.place}: say either `command` or `url`.")
    return Server(
        name=name,
        place=_program(name, section) if "command" in section else _remote(section),
        only=frozenset(section.texts("only")),
        treatment=_treatment(section),
        tools=section.treatments(),
        is_vouched=section.take("vouched", bool, False, "true or false"),
    )


def _program(name: str, section: _Section) -> Program:
    if wrong := next((key for key in ("headers", "private") if key in section), None):
        raise BadServers(f"{section.place}.{wrong} belongs to a server with a `url`.")
    command = section.texts("command")
    if not command:
        raise BadServers(f"{section.place}.command must be a list of texts, the program first.")
    memory_mb = section.positive("memory_mb")
    bounds = Bounds(memory_bytes=int(memory_mb * 1024**2)) if memory_mb else Bounds()
    return Program(
        command=command,
        environment=section.secrets("environment"),
        readable=section.paths("readable"),
        writable=section.paths("writable"),
        has_network=section.take("network", bool, False, "true or false"),
        bounds=bounds,
        # One of its own, the same at every start: none can touch what another has written.
        uid=int(section.positive("uid") or OWN_UID + 1 + zlib.crc32(name.encode()) % NUM_UIDS),
    )


def _remote(section: _Section) -> Remote:
    local = ("environment", "readable", "writable", "network", "memory_mb", "uid")
    if wrong := next((key for key in local if key in section), None):
        raise BadServers(f"{section.place}.{wrong} belongs to a server with a `command`.")
    url = section.take("url", str, "", "a text")
    rules = BEHIND_PUBLIC_PORTS
    try:
        if section.take("private", bool, False, "true or false"):
            rules = Rules(private_hosts=frozenset({url_guard.origin_of(url)}))
        url_guard.check(url, rules=rules)
    except UrlRefused as refusal:
        hint = " If this is a server of yours, say `private = true`." if "private" not in section else ""
        raise BadServers(f"{section.place}.url: {refusal}{hint}") from refusal
    return Remote(url=url, headers=section.secrets("headers"), rules=rules)


def _treatment(section: _Section) -> Treatment:
    cache_s = section.positive("cache_s")
    treatment = Treatment(
        effect=_one_of(section, "effect", Effect),
        approval=_one_of(section, "approval", Approval),
        is_idempotent=section.take("idempotent", bool, None, "true or false"),
        caching=Caching(ttl_s=cache_s, scope=Scope.USER) if cache_s else None,
        timeout_s=section.positive("timeout_s"),
    )
    if treatment.caching and treatment.effect not in (None, Effect.NONE):
        raise BadServers(f'{section.place}.cache_s: only tools of effect "none" can be cached.')
    return treatment


def _one_of(section: _Section, key: str, kind: Any) -> Any:
    value = section.take(key, str, None, "a text")
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        raise BadServers(f"{section.place}.{key} must be one of {', '.join(kind)}.") from None


def _table(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadServers(f"{place} must be a table.")
    return value
