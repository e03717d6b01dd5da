"""Formulas as pictures. For the process of the press alone."""

import io
import re
from dataclasses import dataclass

from agents.writing import typeset

MAX_CHARS = 1_000
FONT_POINTS = 11
_DPI = 300
_TIMELESS: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "png": {}}
# TeX that matplotlib spells otherwise, or does not need.
_SPELLED = (
    (re.compile(r"\\(?:dfrac|tfrac|cfrac)(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:displaystyle|limits|nolimits|!|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])"), ""),
    (re.compile(r"\\[lr]vert(?![A-Za-z])"), "|"),
    (re.compile(r"\\operatorname\*?\s*{([^{}]*)}"), r"\\mathrm{\1}"),
    (re.compile(r"\\(?:le|leqslant)(?![A-Za-z])"), r"\\leq"),
    (re.compile(r"\\(?:ge|geqslant)(?![A-Za-z])"), r"\\geq"),
    (re.compile(r"\\(?:lt)(?![A-Za-z])"), "<"),
    (re.compile(r"\\(?:gt)(?![A-Za-z])"), ">"),
    (re.compile(r"\\frac\s*(\w)\s*(\w)(?!\w)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\sqrt\s*(\w)"), r"\\sqrt{\1}"),
    (re.compile(r"\n+"), " "),
)


@dataclass(frozen=True)
class Drawn:
    """A picture and how far below the line it reaches, in points."""

    content: bytes
    depth: float


def draw(tex: str, *, kind: str) -> Drawn | None:
    """The formula as `svg` or `png`; None where it is none that can be drawn."""
    from matplotlib import mathtext, rc_context
    from matplotlib.font_manager import FontProperties

    written = tex.strip()
    for pattern, replacement in _SPELLED:
        tex = pattern.sub(replacement, tex)
    tex = tex.strip()
    if not tex or len(tex) > MAX_CHARS or "$" in tex:
        return None
    out = io.BytesIO()
    settings = {"mathtext.fontset": "stix", "svg.fonttype": "path", "svg.hashsalt": "formula"}
    try:
        with rc_context(settings):
            depth = mathtext.math_to_image(
                f"${tex}$", out, prop=FontProperties(size=FONT_POINTS), dpi=_DPI, format=kind
            )
    except (ValueError, RecursionError, RuntimeError, OverflowError):
        return _typeset(written, kind=kind)
    return Drawn(content=out.getvalue(), depth=float(depth))


def _typeset(tex: str, *, kind: str) -> Drawn | None:
    from matplotlib import rc_context

    laid_out = typeset.figure(tex, points=FONT_POINTS)
    if laid_out is None:
        return None
    made, depth = laid_out
    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "formula"}):
        made.savefig(out, format=kind, dpi=_DPI, transparent=True, metadata=_TIMELESS[kind])
    return Drawn(content=out.getvalue(), depth=depth)
