"""The roles that agents may have and the teams they form: those in teams.toml, an operator's own on top."""

import tomllib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from agents.limits import Limits

BUILT_IN = Path(__file__).with_name("teams.toml")
NANO = 10**9


class TeamsError(ValueError):
    """The file cannot be used; the text names it and says why."""


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tools` None: all that the turn has."""

    instructions: str
    tools: tuple[str, ...] | None = None
    max_steps: int = 100


class Team(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who works together and how. See teams.toml for the words."""

    pattern: Literal["round_robin", "planner_led"]
    members: tuple[str, ...]
    description: str = ""
    planner: str = ""
    critic: str = ""
    rounds: int = 3
    max_tasks: int = 4
    max_cost: Decimal | None = None
    max_seconds: int | None = None
    max_steps: int | None = None

    def bounded(self, limits: Limits) -> Limits:
        """The limits of a turn of this team: what was asked for, and no more than the team may have."""
        cost_nano = None if self.max_cost is None else int(self.max_cost * NANO)
        return replace(
            limits,
            max_steps=min(limits.max_steps, self.max_steps or limits.max_steps),
            max_seconds=min(limits.max_seconds, self.max_seconds or limits.max_seconds),
            max_cost_nano=_least(limits.max_cost_nano, cost_nano),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Every role that takes part."""
        return tuple(name for name in (self.planner, *self.members, self.critic) if name)


class Teams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    roles: dict[str, Role] = {}
    teams: dict[str, Team] = {}

    def tools_of(self, role: str) -> tuple[str, ...] | None:
        """What an agent of this role may use; None: all. A role that is gone since may use nothing."""
        if not role:
            return None
        found = self.roles.get(role)
        return () if found is None else found.tools


def load(path: Path | None = None) -> Teams:
    """The built-in teams, and those of the operator's file. Raises TeamsError."""
    built_in = _read(BUILT_IN)
    own = _read(path) if path is not None else Teams()
    together = Teams(roles=built_in.roles | own.roles, teams=built_in.teams | own.teams)
    for name, team in together.teams.items():
        _check(name, team, together, path or BUILT_IN)
    return together


def _read(path: Path) -> Teams:
    try:
        plain: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(plain, Teams, strict=False)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TeamsError(f"The teams in {path} cannot be read: {error}") from error


def _check(name: str, team: Team, together: Teams, path: Path) -> None:
    if unknown := [role for role in team.names if role not in together.roles]:
        raise TeamsError(f"The teams in {path}: team {name} names roles that do not exist: {unknown}")
    if not team.members:
        raise TeamsError(f"The teams in {path}: team {name} has no members")
    if team.pattern == "planner_led" and not team.planner:
        raise TeamsError(f"The teams in {path}: team {name} is planner_led and has no planner")
    if not (1 <= team.rounds <= 10 and 1 <= team.max_tasks <= 16 and len(team.members) <= 8):
        raise TeamsError(
            f"The teams in {path}: team {name} may have 1 to 10 rounds, 1 to 16 tasks and 1 to 8 members"
        )


def _least(first: int | None, second: int | None) -> int | None:
    known = [amount for amount in (first, second) if amount is not None]
    return min(known, default=None)
