"""What agents cite, made evidence of the turn that reads their answers: an answer may only cite passages of
its own turn. Pure."""

from collections.abc import Callable, Mapping, Sequence

from agents import citations
from agents.teams.crew import AgentId, AgentState, Evidence

# For each agent, its numbers and what stands for them now.
Numbers = Mapping[AgentId, Mapping[int, int]]


def cited(agent: AgentState) -> list[Evidence]:
    """The passages that the agent's answer cites, by number."""
    numbers = {number for marker in citations.markers(agent.answer) for number in marker.numbers}
    return sorted((one for one in agent.evidence if one.number in numbers), key=lambda one: one.number)


def gathered(agents: Sequence[AgentState]) -> tuple[list[Evidence], dict[AgentId, dict[int, int]]]:
    """What they cite, each passage once, and for each agent's number the place it has there."""
    passages: list[Evidence] = []
    places: dict[tuple[str, str], int] = {}
    numbers: dict[AgentId, dict[int, int]] = {}
    for agent in agents:
        for passage in cited(agent):
            place = places.setdefault((passage.source, passage.text), len(places))
            if place == len(passages):
                passages.append(passage)
            numbers.setdefault(agent.id, {})[passage.number] = place
    return passages, numbers


def with_sources(agent: AgentState) -> str:
    """The agent's answer with what it cites named in its text, for other agents: their own numbers mean
    something else."""
    sources = {passage.number: passage.source for passage in agent.evidence}
    places = {number: number for number in sources}
    return rewritten(agent, places, mark=lambda number: f"(source: {sources[number]})")


def rewritten(agent: AgentState, numbers: Mapping[int, int], *, mark: Callable[[int], str]) -> str:
    """The agent's answer with each citation in the words of `mark`. A citation of nothing that the agent
    found goes: nobody could follow it."""
    pieces, at = [], 0
    for marker in citations.markers(agent.answer):
        known = [mark(numbers[number]) for number in marker.numbers if number in numbers]
        if not known and marker.may_be_values:
            continue
        pieces += [agent.answer[at : marker.start], "".join(known)]
        at = marker.end
    return "".join([*pieces, agent.answer[at:]])
