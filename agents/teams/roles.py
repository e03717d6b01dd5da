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
NAME_CHARS = 40


class TeamsError(ValueError):
    """The operator's teams cannot be used, and why."""


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


def load(own_toml: str = "") -> Teams:
    """The built-in teams, and the operator's own in TOML. Raises TeamsError."""
    built_in = _read(BUILT_IN.read_text(encoding="utf-8"))
    own = _read(own_toml)
    together = Teams(roles=built_in.roles | own.roles, teams=built_in.teams | own.teams)
    for name, team in together.teams.items():
        _check(name, team, together)
    return together


def _read(toml: str) -> Teams:
    try:
        plain: dict[str, Any] = tomllib.loads(toml)
        return msgspec.convert(plain, Teams, strict=False)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TeamsError(f"they cannot be read: {error}") from error


def _check(name: str, team: Team, together: Teams) -> None:
    if len(name) > NAME_CHARS or any(len(role) > NAME_CHARS for role in team.names):
        raise TeamsError(f"the name of team {name} or of a role of it is longer than {NAME_CHARS} characters")
    if unknown := [role for role in team.names if role not in together.roles]:
        raise TeamsError(f"team {name} names roles that do not exist: {', '.join(unknown)}")
    if not team.members:
        raise TeamsError(f"team {name} has no members")
    if team.pattern == "planner_led" and not team.planner:
        raise TeamsError(f"team {name} is planner_led and has no planner")
    if not (1 <= team.rounds <= 8 and 1 <= team.max_tasks <= 16 and len(team.members) <= 8):
        raise TeamsError(f"team {name} may have 1 to 8 rounds, 1 to 16 tasks and 1 to 8 members")


def _least(first: int | None, second: int | None) -> int | None:
    known = [amount for amount in (first, second) if amount is not None]
    return min(known, default=None)
