"""Several answers to one question made one result: votes, their weight, and what each was worth. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents import citations
from agents.teams import answers
from agents.teams.crew import AgentId, AgentState, cost_text

# A vote weighs 1. What speaks for it besides never outweighs another vote, only breaks ties and says how well
# founded a majority is.
WEIGHT_OF_EVIDENCE = 0.3
WEIGHT_OF_CHECK = 0.3
MIN_ANSWER_CHARS = 400  # of an agent's answer that the model reads in any case


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """One answer and who gave it; `answer` as the first of them wrote it, short."""

    answer: str
    voters: tuple[AgentId, ...]
    weight: float

    @property
    def num_votes(self) -> int:
        return len(self.voters)


def ballots(agents: Sequence[AgentState]) -> list[Ballot]:
    """The votes, most first. An agent that failed or was stopped has none, and a work of its own kind (an
    essay, a program) agrees with no other."""
    voters: dict[str, list[AgentState]] = {}
    for agent in agents:
        if agent.has_answered:
            voters.setdefault(_key(agent), []).append(agent)
    counted = [
        Ballot(
            answer=answers.final_answer(alike[0].answer),
            voters=tuple(agent.id for agent in alike),
            weight=round(sum(weight(agent) for agent in alike), 2),
        )
        for alike in voters.values()
    ]
    return sorted(counted, key=lambda ballot: (-ballot.num_votes, -ballot.weight))


def weight(agent: AgentState) -> float:
    """Of its vote: more with cited evidence and with every checked sentence supported, less with one that is
    not."""
    weighs = 1.0
    cited = {number for marker in citations.markers(agent.answer) for number in marker.numbers}
    if cited & {passage.number for passage in agent.evidence}:
        weighs += WEIGHT_OF_EVIDENCE
    if agent.num_unsupported:
        weighs -= WEIGHT_OF_CHECK
    elif agent.num_supported:
        weighs += WEIGHT_OF_CHECK
    return weighs


def has_agreed(agents: Sequence[AgentState], *, quorum: int) -> bool:
    """Whether so many gave the same answer: those still at work need not go on."""
    counted = ballots(agents)
    return bool(counted) and bool(counted[0].answer) and counted[0].num_votes >= quorum


def report(agents: Sequence[AgentState], *, pattern: str, text_only: bool) -> dict[str, Any]:
    """What a TEAM note's `data` holds for readers: every agent with its answer, cost and evidence, and the
    votes."""
    counted = ballots(agents)
    return {
        "pattern": pattern,
        "text_only": text_only,
        "agents": [_row(agent) for agent in agents],
        "votes": [
            {
                "answer": ballot.answer,
                "votes": ballot.num_votes,
                "weight": ballot.weight,
                "agents": list(ballot.voters),
            }
            for ballot in counted
        ],
        "cost": cost_text(sum(agent.cost_nano for agent in agents)),
        "cost_nano": sum(agent.cost_nano for agent in agents),
    }


def votes_in_words(counted: Sequence[Ballot]) -> str:
    """One line for each answer that can be compared, or that none can."""
    lines = [f"- {ballot.num_votes} for: {ballot.answer}" for ballot in counted if ballot.answer]
    if not lines:
        return "The answers are works of their own: there is nothing to count."
    rest = sum(ballot.num_votes for ballot in counted if not ballot.answer)
    return "\n".join([*lines, *([f"- {rest} cannot be compared"] if rest else [])])


def shown(agent: AgentState, *, number: int, most_chars: int, text: str | None = None) -> str:
    """An agent's answer as the model reads it. The fence says where foreign text begins and ends."""
    head = f"Agent {number}" + (f" ({agent.role})" if agent.role else "")
    if not agent.has_answered:
        return f"{head} brought no answer ({_why(agent)})."
    said = (agent.answer if text is None else text).strip()
    if len(said) > most_chars:
        said = f"{said[: most_chars // 2]}\n[...]\n{said[-most_chars // 2 :]}"
    return f"<answer of={head!r}>\n{said.replace('</answer', '< /answer')}\n</answer>"


def chars_each(context_tokens: int, *, num_agents: int) -> int:
    """How much of each answer fits, when all together take at most a third of the window."""
    return max(min(context_tokens // num_agents, 12_000), MIN_ANSWER_CHARS)


def _key(agent: AgentState) -> str:
    short = answers.final_answer(agent.answer)
    return answers.normal(short) or f"{agent.id} {short}"


def _why(agent: AgentState) -> str:
    return agent.error or str(agent.finish_reason or "not finished")


def _row(agent: AgentState) -> Mapping[str, Any]:
    return {
        "agent": agent.id,
        "role": agent.role,
        "answer": answers.final_answer(agent.answer) if agent.has_answered else "",
        "has_answered": agent.has_answered,
        "finish_reason": str(agent.finish_reason or ""),
        "error": agent.error,
        "steps": agent.num_steps,
        "tokens": agent.usage.total_tokens,
        "cost": cost_text(agent.cost_nano),
        "cost_nano": agent.cost_nano,
        "passages": len(agent.evidence),
        "supported": agent.num_supported,
        "unsupported": agent.num_unsupported,
    }
