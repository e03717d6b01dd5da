"""Emphasis beside Chinese, Japanese and Korean text, which is written without spaces.

CommonMark lets a run of asterisks open or close only where no punctuation is between it and a letter, so that
`**重要。**后文` would show its asterisks. Here a CJK character is no punctuation, and no other punctuation
counts where one is on the run's other side (https://github.com/tats-u/markdown-cjk-friendly).
static/js/emphasis.js follows the same rule.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.common.utils import isWhiteSpace
from markdown_it.rules_inline import StateInline, emphasis

_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\u2fff\u3001-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe10-\ufe1f\ufe30-\ufe6f"
    "\uff01-\uffee\U00020000-\U0003ffff]"
)


def add_to(parser: MarkdownIt) -> None:
    parser.inline.ruler.at("emphasis", _emphasis)


def _emphasis(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not emphasis.tokenize(state, silent):
        return False
    if state.src[start] == "*":
        before = state.src[start - 1] if start > 0 else " "
        after = state.src[state.pos] if state.pos < state.posMax else " "
        if _CJK.match(before) or _CJK.match(after):
            for delimiter in state.delimiters[start - state.pos :]:
                # No other punctuation counts beside a CJK character, and that is none.
                delimiter.open = not isWhiteSpace(ord(after))
                delimiter.close = not isWhiteSpace(ord(before))
    return True
