"""Formulas that matplotlib's own TeX does not know, matrices, cases and aligned lines among them: laid out by
ziamath, whose outlines are then drawn by matplotlib like all other figures. For the press's process alone.
"""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

_WORD = re.compile(r"[MLQCZ]|-?[\d.]+(?:e-?\d+)?")
_UNKNOWN = re.compile(r"<m[ion][^>]*>\\")  # a command that the parser passes through as text
_POINTS_OF = {"M": 1, "L": 1, "Q": 2, "C": 3}
MAX_OUTLINES = 5_000


def figure(tex: str, *, points: int) -> "tuple[Any, float] | None":
    """A figure of matplotlib's and how far it reaches below the line, in points; None for what is no formula
    or has a command that is not known."""
    from matplotlib.figure import Figure
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    drawing = _drawing(tex, points)
    if drawing is None:
        return None
    left, top, width, height = map(float, drawing.get("viewBox", "").split())
    made = Figure(figsize=(width / 72, height / 72))
    axes = made.add_axes((0, 0, 1, 1), xlim=(left, left + width), ylim=(top + height, top))
    axes.axis("off")
    for number, (outline, corners, codes) in enumerate(_outlines(drawing)):
        if number == MAX_OUTLINES:
            return None
        is_filled = outline.get("fill") != "none"
        axes.add_patch(
            PathPatch(
                Path(corners, codes),
                facecolor="black" if is_filled else "none",
                edgecolor="black",
                linewidth=0 if is_filled else float(outline.get("stroke-width", "1")),
            )
        )
    return made, top + height


def _drawing(tex: str, points: int) -> ElementTree.Element | None:
    from latex2mathml import converter
    from ziamath import Latex
    from ziamath.config import config

    config.svg2 = False
    try:
        if _UNKNOWN.search(converter.convert(tex)):
            return None
        return ElementTree.fromstring(Latex(tex, size=points).svg())
    except Exception:
        # Its parsers meet what a model wrote: whatever breaks them, the formula is printed as it was written.
        return None


def _outlines(
    drawing: ElementTree.Element,
) -> Iterator[tuple[ElementTree.Element, list[tuple[float, float]], list[int]]]:
    """Each with corners and codes of matplotlib's: letters are paths, lines of fractions rectangles."""
    for element in drawing.iter():
        kind = element.tag.rpartition("}")[2]
        if kind == "path":
            yield element, *_outline(element.get("d", ""))
        elif kind == "rect":
            x, y, width, height = (float(element.get(name, "0")) for name in ("x", "y", "width", "height"))
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
            yield element, corners, [1, 2, 2, 2, 79]


def _outline(words: str) -> tuple[list[tuple[float, float]], list[int]]:
    from matplotlib.path import Path

    kinds = {"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3, "C": Path.CURVE4}
    corners: list[tuple[float, float]] = []
    codes: list[int] = []
    found = iter(_WORD.findall(words))
    for word in found:
        if word == "Z":
            corners.append(corners[-1])
            codes.append(int(Path.CLOSEPOLY))
            continue
        for _ in range(_POINTS_OF[word]):
            corners.append((float(next(found)), float(next(found))))
            codes.append(int(kinds[word]))
    return corners, codes
