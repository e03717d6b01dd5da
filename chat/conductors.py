"""Who leads a turn's agents, and what its own agents are: by its effort and its team."""

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agents.steps.reply import Listener
from agents.teams import roles
from agents.teams.conductor import Conductor
from agents.teams.heavy import Heavy
from agents.teams.patterns import PlannerLed, RoundRobin
from agents.teams.roles import Teams, TeamsError
from agents.tool import Tool
from agents.tools import spawn
from agents.tools.spawn import Spawn
from chat import turns
from chat.crew import DatabaseCrew
from chat.models import Turn


@cache
def teams() -> Teams:
    """The teams that people may choose. Raises ImproperlyConfigured."""
    try:
        return roles.load(settings.TEAMS)
    except TeamsError as fault:
        raise ImproperlyConfigured(f"TEAMS: {fault}.") from fault


def conductor_of(turn: Turn, *, fence: int) -> Conductor | None:
    """Who leads the agents of a turn that was asked for with a team or with heavy effort; None: it has none,
    or spawns them itself."""
    if not _may_have_agents(turn):
        return None
    crew = DatabaseCrew(turn, fence=fence)
    if team := teams().teams.get(turn.team):
        pattern = RoundRobin if team.pattern == "round_robin" else PlannerLed
        return pattern(crew, team, teams())
    return Heavy(crew) if turn.effort == Turn.Effort.HEAVY else None


def own_tools(turn: Turn, *, fence: int, listener: Listener) -> list[Tool]:
    """The tool that spawns agents, for a turn that nobody leads. An agent spawns none."""
    if not _may_have_agents(turn) or conductor_of(turn, fence=fence) is not None:
        return []
    crew = DatabaseCrew(turn, fence=fence, max_agents=spawn.MOST_IN_ALL)
    return [Spawn(crew, listener=listener, limits=turns.limits_of(turn), roles=teams().roles)]


def tools_of(turn: Turn) -> tuple[str, ...] | None:
    """The names of the tools that an agent's role may use; None: all."""
    return teams().tools_of(turn.role) if _has_role(turn) else None


def _has_role(turn: Turn) -> bool:
    """A trajectory's role in heavy mode is only the name of its way."""
    return turn.spawned_by_id is not None and bool(turn.instructions)


def _may_have_agents(turn: Turn) -> bool:
    return turn.spawned_by_id is None and turn.long_thinking
