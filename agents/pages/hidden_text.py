"""What a page holds and its reader does not see: taken away before a model reads it."""

import re

from selectolax.lexbor import LexborHTMLParser

_NEVER_SHOWN = (
    "script, style, noscript, template, iframe, object, embed, svg, canvas, head meta, select, "
    "dialog:not([open]), [hidden], [aria-hidden=true], input[type=hidden]"
)
_STYLED = "[style], font[color], font[size]"
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0*\.?0*(?![\d.]*[1-9])\s*(?:;|$|!)|"
    r"font-size\s*:\s*0*(?:\.0+|0|1(?:\.\d+)?)(?:px|pt|em|rem|%)?\s*(?:;|$|!)|"
    r"(?:text-indent|left|right|top|margin-left)\s*:\s*-\d{3,}|"
    r"(?:max-)?(?:height|width)\s*:\s*0(?:px)?\s*(?:;|$|!)|clip(?:-path)?\s*:\s*(?:rect\(\s*0|inset\(\s*(?:50|100)%)|"
    r"transform\s*:\s*scale\(\s*0\s*\)|content-visibility\s*:\s*hidden|"
    r"(?<!-)color\s*:\s*(?:transparent|rgba\([^)]*,\s*0(?:\.0+)?\s*\))",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"(?<!-)\bcolor\s*:\s*([#\w(), .%]+)", re.IGNORECASE)
_BEHIND = re.compile(r"background(?:-color)?\s*:\s*([#\w(), .%]+)", re.IGNORECASE)
_WHITE = frozenset(("#fff", "#ffffff", "white", "rgb(255,255,255)"))
_RULE = re.compile(r"([^{}]{1,300})\{([^{}]{0,2000})\}")
_NAMED = re.compile(r"\s*[a-z0-9]*[.#][\w-]+\s*", re.IGNORECASE)
MAX_STYLE_CHARS = 200_000


def removed(html: str) -> LexborHTMLParser:
    """The page without comments, scripts, and elements that are hidden by an attribute, a style of their own
    or a rule for their class or id."""
    tree = LexborHTMLParser(html)
    for name in _hidden_names(tree):
        _drop(tree, name)
    for node in tree.css(_STYLED):
        if _is_hidden(node.attributes.get("style") or "") or node.attributes.get("size") == "0":
            node.decompose()
    _drop(tree, _NEVER_SHOWN)
    return tree


def _drop(tree: LexborHTMLParser, selector: str) -> None:
    for node in tree.css(selector):
        node.decompose()


def _is_hidden(style: str) -> bool:
    if _HIDING.search(style):
        return True
    colour, behind = _COLOUR.search(style), _BEHIND.search(style)
    if colour is None:
        return False
    plain = _plain(colour[1])
    return plain == _plain(behind[1]) if behind else plain in _WHITE


def _plain(colour: str) -> str:
    return re.sub(r"\s+", "", colour).casefold()


def _hidden_names(tree: LexborHTMLParser) -> list[str]:
    """The classes and ids that a style sheet of the page hides. Rules of a state (:hover) or a medium count
    as if they always held: better a sentence too few."""
    sheets = "\n".join(node.text() for node in tree.css("style"))[:MAX_STYLE_CHARS]
    names: list[str] = []
    for selectors, body in _RULE.findall(sheets):
        if _HIDING.search(body):
            names += [name.strip() for name in selectors.split(",") if _NAMED.fullmatch(name)]
    return names
