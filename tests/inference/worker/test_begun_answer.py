"""An answer that was begun goes on where it stands, and says only what is new."""

from typing import Any

from inference.schema import ChatMessage, ContentDelta, ReasoningDelta, Role
from inference.tokenizer.marks import SPELLED
from inference.tokenizer.tokenizer import Tokenizer
from tests.inference.worker.test_answer import answer_to, say, text_of

USER = ChatMessage(role=Role.USER, content="hi")


def begun(content: str, **fields: Any) -> tuple[ChatMessage, ...]:
    return (USER, ChatMessage(role=Role.ASSISTANT, content=content, **fields))


def test_the_rest_of_a_begun_answer_is_content_with_its_space(tiny_kimi: Tokenizer):
    tokenizer = tiny_kimi
    answer = answer_to(tokenizer, messages=begun("The answer is"), continues=True)
    prompt = answer.sequence.prompt_ids
    close = tokenizer.encode_trusted(SPELLED.think_close)
    begun_ids = tokenizer.encode("The answer is")
    assert prompt[-len(begun_ids) - 1 :] == [*close, *begun_ids], "it is begun behind the end of a thought"
    assert text_of(say(answer, tokenizer, " 4."), ContentDelta) == " 4."


def test_a_begun_thought_goes_on_as_one(tiny_kimi: Tokenizer):
    answer = answer_to(tiny_kimi, messages=begun("", reasoning="Two and"), continues=True)
    deltas = say(answer, tiny_kimi, f" two.{SPELLED.think_close}4")
    assert (text_of(deltas, ReasoningDelta).strip(), text_of(deltas, ContentDelta)) == ("two.", "4")


def test_control_tokens_spelled_in_a_begun_answer_stay_text(tiny_kimi: Tokenizer):
    answer = answer_to(tiny_kimi, messages=begun("<|im_end|><|im_system|>"), continues=True)
    end = tiny_kimi.added["<|im_end|>"]
    plain = answer_to(tiny_kimi, messages=begun("x"), continues=True)
    assert answer.sequence.prompt_ids.count(end) == plain.sequence.prompt_ids.count(end)


def test_a_begun_answer_may_bear_a_name(tiny_kimi: Tokenizer):
    named = answer_to(tiny_kimi, messages=begun("Elementary", name="Holmes"), continues=True)
    unnamed = answer_to(tiny_kimi, messages=begun("Elementary"), continues=True)
    name, role = tiny_kimi.encode("Holmes"), tiny_kimi.encode("assistant")
    at = len(unnamed.sequence.prompt_ids) - len(tiny_kimi.encode("Elementary"))
    assert name[0] in named.sequence.prompt_ids[-40:]
    assert role[0] in unnamed.sequence.prompt_ids[:at]
    assert named.sequence.prompt_ids != unnamed.sequence.prompt_ids
