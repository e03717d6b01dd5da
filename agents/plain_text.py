"""Text from a model, a tool or a stranger as every database, every JSON and every chat template can hold
it."""

import re

# Zero width, direction overrides, tag characters, variation selectors beyond the usual, invisible operators.
# Joiners and direction marks belong to many scripts; two of them in a row do not.
_INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]|[\u200c-\u200f]{2,}"
)
# Of the templates of the models served here and of others: <|im_start|>, <think>, [INST], <tool_call> ...
_CONTROL = re.compile(
    r"<(?P<slash>/?)(?P<tag>think|thinking|tool_call|tool_calls|tool_calls_section|tool_response|tool_result|"
    r"function|function_calls|invoke|parameter|system|user|assistant|s|im_start|im_end|bos|eos|start_of_turn|"
    r"end_of_turn)(?P<rest>(?:\s[^<>]{0,200})?)>|<\|(?P<token>[^<>|]{1,80})\|>|<｜(?P<wide>[^<>｜]{1,80})｜>|"
    r"\[(?P<block>/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS))\]|<<(?P<sys>/?SYS)>>",
    re.IGNORECASE,
)
# Not \s, which takes line breaks, too: a page of nothing else would be read for minutes.
_PLATFORM = re.compile(r"^([^\S\n]*)\[(Platform)\]", re.IGNORECASE | re.MULTILINE)
_PASSAGE_MARKS = str.maketrans({"⟦": "[", "⟧": "]"})


def clean(text: str) -> str:
    """Without NUL, and with "?" for half a surrogate pair, which some providers let through."""
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def visible(text: str) -> str:
    """The text without characters that show nothing: what a reader does not see, a model should not read."""
    return _INVISIBLE.sub("", text)


def neutral(text: str, *, keeps_passage_marks: bool = False) -> str:
    """A stranger's text without what shows nothing, and without what a chat template, or a reader of the
    platform's notes, could take for a mark. A tool's whole result keeps the ⟦0⟧ of its passages, which are
    the tool's own; in what it quotes they are a stranger's."""
    text = visible(text)
    if not keeps_passage_marks:
        text = text.translate(_PASSAGE_MARKS)
    return _PLATFORM.sub(r"\1(\2)", _CONTROL.sub(_spelled, text))


def _spelled(found: re.Match[str]) -> str:
    words = found["token"] or found["wide"] or found["block"] or found["sys"]
    if words is None:
        words = f"{found['slash']}{found['tag']}{found['rest']}"
    return f"‹{words}›"
