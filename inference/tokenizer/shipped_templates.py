"""The chat templates for checkpoints that bring none, chosen by what the vocabulary holds."""

from collections.abc import Container
from pathlib import Path

from inference.checkpoints.gguf_file import BadModelFile
from inference.tokenizer import marks

_FOLDER = Path(__file__).with_name("templates")
# The token that only Kimi's family has between the head and the body of a message.
KIMI_MARK = "<|im_middle|>"
_CHATML_MARK = "<|im_start|>"


def choose(added: Container[str], model_type: str) -> str:
    """The source of the template that fits. Raises BadModelFile when none does.

    Moonlight shares Kimi's vocabulary and says of itself only that it is a deepseek_v3.
    """
    if KIMI_MARK in added:
        if marks.SPELLED.call_begin not in added or model_type == "deepseek_v3":
            return _read("moonlight")
        return _read("kimi-k2-thinking" if marks.SPELLED.think_open in added else "kimi-k2-instruct")
    if _CHATML_MARK in added:
        return _read("chatml")
    raise BadModelFile(
        "The model brings no chat template, and its vocabulary fits none that is known here: put its"
        " chat_template.jinja beside the weights."
    )


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.jinja").read_text()
