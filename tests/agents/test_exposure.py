"""What a turn has read is known, whatever the model is shown of it later."""

from datetime import UTC, datetime

import pytest

from agents.tool import NewPassage, ToolContext, ToolResult, Traits, Trust
from agents.tooling import outgoing
from agents.tooling.exposure import Exposed, Exposure, Opening
from agents.tooling.policy import Ask, Policy, Run
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from inference.schema import ChatMessage, Role, ToolCall

OPENING = (
    ChatMessage(role=Role.SYSTEM, content="See https://operator.example/a."),
    ChatMessage(role=Role.USER, content="Read http://person.example:80/B?c=d#e please"),
    ChatMessage(role=Role.ASSISTANT, content="I made up https://model.example/"),
    ChatMessage(role=Role.USER, content="[Platform] So far: I made up https://model.example/"),
)


def step(number: int, text: str, trust: Trust, *, arguments: str = "{}", source: str = "") -> Step:
    passages = (NewPassage(source=source, title="", text="", fetched_at=datetime.now(UTC)),) if source else ()
    result = ToolResult(for_model=text, trust=trust, passages=passages)
    call = ToolCall(id=f"c{number}", name="tool", arguments=arguments)
    return Step(number=number, reasoning="", content="", calls=[CallRecord(call=call, key="", result=result)])


def test_a_call_is_judged_by_what_was_read_before_its_step():
    transcript = Transcript(opening=OPENING)
    exposed = Exposed()
    assert exposed.before(transcript, 1).trust is Trust.USER
    transcript.steps = [step(1, "x", Trust.FACTS), step(2, "x", Trust.WEB), step(3, "x", Trust.OPERATOR)]
    trusts = [exposed.before(transcript, number).trust for number in (1, 2, 3, 4)]
    assert trusts == [Trust.USER, Trust.FACTS, Trust.WEB, Trust.WEB]
    assert Exposed().before(transcript, 4).trust is Trust.WEB, "a resumed worker sees the same"


def test_the_answers_of_agents_in_a_note_count_from_the_next_step_on():
    transcript = Transcript(opening=OPENING, notes=[Note(step=0, kind=NoteKind.TEAM, text="They say: ...")])
    assert Exposed().before(transcript, 1).trust is Trust.AGENT


def test_addresses_of_the_person_the_operator_and_of_sources_are_known_those_of_the_model_are_not():
    transcript = Transcript(opening=OPENING, steps=[step(1, "", Trust.WEB, source="https://found.example")])
    known = Exposed().before(transcript, 2).known_urls
    assert known == {
        "https://operator.example/a",
        "http://person.example:80/B?c=d",
        "https://found.example/",
    }
    agent = Exposed(Opening(is_by_person=False)).before(Transcript(opening=OPENING), 1)
    assert agent.known_urls == {"https://operator.example/a"}


@pytest.mark.parametrize(
    ("before", "trust", "arguments", "is_known"),
    [
        (Trust.USER, Trust.OPERATOR, "{}", True),
        (Trust.WEB, Trust.OPERATOR, "{}", False),
        (Trust.WEB, Trust.FACTS, "{}", True),
        (Trust.WEB, Trust.WEB, "{}", True),
        (Trust.WEB, Trust.WEB, '{"query": "private words"}', False),
        (Trust.USER, Trust.AGENT, "{}", False),
        (Trust.USER, Trust.MCP, "{}", False),
    ],
)
def test_an_address_in_a_result_is_known_unless_the_model_may_have_had_it_made(
    before, trust, arguments, is_known
):
    url = "https://somewhere.example/private/words"
    transcript = Transcript(opening=(), steps=[step(1, f"see {url}.", trust, arguments=arguments)])
    opening = Opening(exposure=Exposure(trust=before))
    assert (url in Exposed(opening).before(transcript, 2).known_urls) == is_known


def test_what_made_up_addresses_told_is_counted_over_the_turn():
    told = [
        step(number, "x", Trust.WEB, arguments=f'{{"url": "https://found.example/{number}"}}')
        for number in range(2, 6)
    ]
    transcript = Transcript(opening=(), steps=[step(1, "", Trust.WEB, source="https://found.example"), *told])
    assert 12 < Exposed().before(transcript, 6).told_bits < 15  # four digits


@pytest.mark.parametrize(
    "spelled", ["https:\\/\\/read.example\\/ab", "https:\\u002f/read.example/ab", "read.example/ab"]
)
def test_however_an_address_is_spelled_what_it_told_is_counted(spelled: str):
    transcript = Transcript(
        opening=(),
        steps=[
            step(1, "", Trust.WEB, source="https://read.example/"),
            step(2, "", Trust.WEB, arguments=f'{{"url": "{spelled}"}}'),
        ],
    )
    assert Exposed().before(transcript, 3).told_bits > 5


def links(num: int) -> str:
    return " ".join(f"https://site.example/{number}" for number in range(num))


def opened(step_number: int, page: int) -> Step:
    arguments = f'{{"url": "https://site.example/{page}"}}'
    return step(step_number, "x", Trust.WEB, arguments=arguments)


def test_what_choices_among_links_tell_is_counted_once_a_page_and_ends_at_a_limit():
    read = [opened(number + 2, number) for number in range(100)]
    again = [opened(number + 102, 7) for number in range(50)]
    transcript = Transcript(opening=(), steps=[step(1, links(128), Trust.WEB), *read, *again])
    exposed = Exposed()
    after_ten = exposed.before(transcript, 12).told_bits
    assert after_ten == pytest.approx(10 * 7 * outgoing.CHOICE_SHARE)
    after_all = exposed.before(transcript, 102)
    assert after_all.told_bits > outgoing.MAX_TOLD_BITS
    assert exposed.before(transcript, 200).told_bits == after_all.told_bits  # the site hears nothing new
    traits, arguments = Traits(trust=Trust.WEB), {"url": "https://site.example/120"}
    for told_bits, verdict in ((after_ten, Run), (after_all.told_bits, Ask)):
        context = ToolContext(key="", trust=Trust.WEB, known_urls=after_all.known_urls, told_bits=told_bits)
        assert isinstance(Policy().judge("open_page", traits, arguments, context), verdict)


def test_the_only_link_of_a_site_is_no_choice():
    transcript = Transcript(
        opening=(), steps=[step(1, "https://one.example/a https://two.example/b", Trust.WEB)]
    )
    transcript.steps.append(step(2, "x", Trust.WEB, arguments='{"url": "https://one.example/a"}'))
    assert Exposed().before(transcript, 3).told_bits == 0
