"""A prompt that ends in the beginning of the answer, for a model to go on with."""

from inference.schema import ChatMessage
from inference.tokenizer.chat_template import ChatTemplate, Piece, Prompt

_OPEN, _CLOSE = "<think>", "</think>"


def put(prompt: Prompt, begun: ChatMessage, *, template: ChatTemplate) -> Prompt:
    """The prompt, which ends where an answer begins, with what was said of it. Its reasoning is over once
    there is content. What stands in it is a stranger's text, in which no control token counts.
    """
    if begun.name:
        prompt = _named(prompt, begun.name)
    is_open = prompt.text.rstrip().endswith(_OPEN)
    is_closed = prompt.text.rstrip().endswith(_CLOSE)
    if template.thinks and not is_closed:
        prompt = prompt if is_open else _joined(prompt, template.pieces(_OPEN))
        prompt = prompt.with_text(begun.reasoning)
        if begun.content:
            prompt = _joined(prompt, template.pieces(_CLOSE))
    return prompt.with_text(begun.content)


def _joined(prompt: Prompt, more: Prompt) -> Prompt:
    for piece in more.pieces:
        prompt = Prompt((*prompt.pieces, piece)) if piece.is_control else prompt.with_text(piece.text)
    return prompt


def _named(prompt: Prompt, name: str) -> Prompt:
    """With this name in the place of the role, where the template puts either between two marks, as Kimi's
    does.
    """
    pieces = list(prompt.pieces)
    for place in range(len(pieces) - 1, 0, -1):
        if pieces[place] == Piece("assistant", is_control=False) and pieces[place - 1].is_control:
            pieces[place] = Piece(name, is_control=False)
            break
    return Prompt(tuple(pieces))
