"""The tool by which the model checks a claim, and what it is billed."""

import pytest

from agents.citations import PassagesAtHand
from agents.tool import Effect, ToolContext
from agents.tools.verify_claim import VerifyClaim
from tests.agents.faithfulness import Case, Line, ScriptedJudge, transcript_of

CONTEXT = ToolContext(key="turn.1.0")
CASE = Case(
    name="claim",
    answer="",
    judge=(Line(of="ices", verdict="supported", evidence="It freezes in most winters"),),
    results=(("calculate", '{"expression": "2 * 52"}', "104"),),
)


def tool(*, judges: bool = False) -> VerifyClaim:
    judge = ScriptedJudge(CASE)
    return VerifyClaim(
        PassagesAtHand(CASE.stored()),
        ask=lambda: judge if judges else None,
        transcript=lambda: transcript_of(CASE),
    )


@pytest.mark.parametrize(
    ("claim", "passages", "verdict"),
    [
        ("Lake Orsa covers 52 km².", [8], "supported by [8]"),
        ("Lake Orsa covers 25 km².", [8], "unsupported: 25 km²"),
        ("Lake Orsa covers 52 km².", [7], "unsupported: 52 km² ([8]) is in another passage"),
        ("Lake Orsa covers 52 km².", [99], "unsupported: [99] is no passage"),
        ("Two such lakes cover 104 km².", [8], "supported by [8]"),
        ("The director said “we will buy the lake” yesterday.", [], "unsupported: The words"),
        ("Is it so?", [], "There is nothing in it that could be checked."),
    ],
)
async def test_a_claim_is_checked_against_the_passages_named(
    claim: str, passages: list[int], verdict: str
) -> None:
    result = await tool().run({"claim": claim, "passages": passages}, CONTEXT)
    assert verdict in result.for_model
    assert result.notes == ()


async def test_what_words_mean_is_judged_and_nothing_else_is_noted() -> None:
    result = await tool(judges=True).run({"claim": "The lake ices over.", "passages": [8]}, CONTEXT)
    assert result.for_model.endswith("supported by [8]: “It freezes in most winters”")
    assert result.notes == ()


def test_it_changes_nothing_and_says_how_it_is_used() -> None:
    assert VerifyClaim.traits.effect is Effect.NONE
    assert VerifyClaim.traits.caching is None, "there may be more passages the next time"
    assert '{"claim": ' in VerifyClaim.spec.description
