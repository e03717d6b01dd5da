"""Where the nodes of a run's picture stand: five columns from the question to the answer, each node near what
leads to it, as far as its column allows. Pure geometry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from chat.run_nodes import Column, Edge, Node, Picture

GAP_X, GAP_Y = 24, 8
WIDTHS = {
    Column.QUESTION: 72,
    Column.WORK: 168,
    Column.FOUND: 148,
    Column.SAID: 168,
    Column.ANSWER: 68,
}
WIDTH = sum(WIDTHS.values()) + 4 * GAP_X
LINE, PAD = 16, 8
INDENT = 12  # of a call in its phase
PAD_X = 8
LETTER, WIDE = 6.5, 12.3  # the width of a sign of 12 px
TITLE_LINES = {"sentence": 2, "answer": 1}


@dataclass(frozen=True, kw_only=True)
class Box:
    node: Node
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]  # of its title
    note: str

    @property
    def note_y(self) -> int:
        return self.y + PAD + LINE * len(self.lines) + 12

    @property
    def texts(self) -> list[tuple[int, str]]:
        """Each line of the title with its base line."""
        return [(self.y + PAD + LINE * number + 12, line) for number, line in enumerate(self.lines)]

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True, kw_only=True)
class Line:
    edge: Edge
    path: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def draw(picture: Picture) -> Drawing:
    boxes: dict[str, Box] = {}
    sources: dict[str, list[str]] = {}
    for edge in picture.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    x = 0
    for column, width in WIDTHS.items():
        nodes = picture.of(column)
        wished = {node.id: _wished(sources.get(node.id, ()), boxes) for node in nodes}
        if column is Column.FOUND:
            nodes = sorted(nodes, key=lambda node: wished[node.id])
        boxes |= _column(nodes, wished, x=x, width=width)
        x += width + GAP_X
    boxes = _centred(boxes, picture)
    lines = [
        Line(edge=edge, path=_path(boxes[edge.source], boxes[edge.target]))
        for edge in picture.edges
        if _is_drawn(boxes[edge.source].node, boxes[edge.target].node)
    ]
    height = max((box.y + box.height for box in boxes.values()), default=0)
    return Drawing(width=WIDTH, height=height, boxes=tuple(boxes.values()), lines=tuple(lines))


def _is_drawn(source: Node, target: Node) -> bool:
    """A call stands in its phase: no line says so."""
    return target.inside != source.id


def _wished(sources: Sequence[str], boxes: Mapping[str, Box]) -> float:
    """The middle of what leads there."""
    middles = [boxes[one].middle for one in sources if one in boxes]
    return sum(middles) / len(middles) if middles else 0.0


def _column(nodes: Sequence[Node], wished: Mapping[str, float], *, x: int, width: int) -> dict[str, Box]:
    """One below the other, none higher than it wishes as long as there is room above it."""
    boxes, bottom = {}, 0
    for node in nodes:
        indent = INDENT if node.inside else 0
        box = _box(node, x=x + indent, width=width - indent)
        is_free = node.column > Column.WORK
        y = max(bottom, round(wished[node.id] - box.height / 2)) if is_free else bottom
        boxes[node.id] = _at(box, y)
        bottom = y + box.height + GAP_Y
    return boxes


def _centred(boxes: dict[str, Box], picture: Picture) -> dict[str, Box]:
    """The question in the middle of the work; a column whose last nodes were pushed down moves up again."""
    moved = dict(boxes)
    for column in (Column.FOUND, Column.SAID, Column.ANSWER):
        here = [moved[node.id] for node in boxes_of(moved, column)]
        before = [box for box in moved.values() if box.node.column < column]
        if not here or not before:
            continue
        low = max(box.y + box.height for box in before)
        moved |= {box.node.id: box for box in _lifted(here, low=low)}
    asked, work = moved.get("question"), [box for box in moved.values() if box.node.column is Column.WORK]
    if asked and work:
        middle = (work[0].y + work[-1].y + work[-1].height) // 2
        moved["question"] = _at(asked, max(0, middle - asked.height // 2))
    return moved


def boxes_of(boxes: Mapping[str, Box], column: Column) -> list[Node]:
    return [box.node for box in boxes.values() if box.node.column is column]


def _lifted(boxes: Sequence[Box], *, low: int) -> list[Box]:
    """Up, the last first, so that they end there; as far as there is room for all."""
    tops, end = [], low
    for box in reversed(boxes):
        tops.append(min(box.y, end - box.height))
        end = tops[-1] - GAP_Y
    lifted, bottom = [], 0
    for box, top in zip(boxes, reversed(tops), strict=True):
        lifted.append(_at(box, max(bottom, top)))
        bottom = lifted[-1].y + box.height + GAP_Y
    return lifted


def _box(node: Node, *, x: int, width: int) -> Box:
    room = width - 2 * PAD_X - (14 if node.kind == "phase" else 0)
    lines = fitted(node.title, room, most=TITLE_LINES.get(node.kind, 1))
    note = fitted(node.note, room, most=1)[0] if node.note else ""
    height = 2 * PAD + LINE * (len(lines) + bool(note))
    return Box(node=node, x=x, y=0, width=width, height=height, lines=lines, note=note)


def _at(box: Box, y: int) -> Box:
    return Box(
        node=box.node, x=box.x, y=y, width=box.width, height=box.height, lines=box.lines, note=box.note
    )


def _path(source: Box, target: Box) -> str:
    """A curve from the right side to the left; within a column a bow beside it."""
    x1, y1, x2, y2 = source.x + source.width, source.middle, target.x, target.middle
    if source.node.column is target.node.column:
        bow = x1 + min(18, 8 + abs(y2 - y1) / 16)
        end = target.x + target.width
        return f"M{x1} {y1:g}C{bow:g} {y1:g} {bow:g} {y2:g} {end} {y2:g}"
    half = (x2 - x1) / 2
    return f"M{x1} {y1:g}C{x1 + half:g} {y1:g} {x2 - half:g} {y2:g} {x2} {y2:g}"


def fitted(text: str, room: float, *, most: int) -> tuple[str, ...]:
    """The text in so many lines at most, each no wider than the room."""
    lines, rest = list[str](), text.strip()
    while rest and len(lines) < most:
        cut = _fits(rest, room)
        if cut < len(rest) and len(lines) == most - 1:
            lines.append(rest[: _fits(rest, room - LETTER * 1.5)].rstrip() + "…")
            break
        space = rest.rfind(" ", 0, cut + 1) if cut < len(rest) else -1
        cut = space if space > cut // 2 else cut
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return tuple(lines) or ("",)


def _fits(text: str, room: float) -> int:
    """How many of its signs fit."""
    width = 0.0
    for place, sign in enumerate(text):
        width += (
            WIDE
            if east_asian_width(sign) in "WF"
            else LETTER * (1.3 if sign.isupper() or sign in "mwMW—" else 1)
        )
        if width > room:
            return max(1, place)
    return len(text)
