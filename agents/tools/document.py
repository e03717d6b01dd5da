"""Reports of many chapters, written section by section: the model never needs the whole text before it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits, Trust
from agents.tools.sandbox_report import RESOURCES
from agents.workspace import BadPath, SnapshotLost, WorkspaceFull
from agents.writing import shelf
from agents.writing.desk import Desk, Misuse
from agents.writing.edition import NotPrintable
from agents.writing.exporting import KINDS
from agents.writing.manuscript import ID, MAX_LEVEL, MAX_SECTION_CHARS, MAX_SECTIONS, MAX_TITLE_CHARS
from agents.writing.shelf import NoManuscript
from inference.schema import ToolSpec

EXPORT_S = 540.0

DESCRIPTION = """\
Write a report or any long text as a document, section by section; it is kept between turns. Actions: outline
(title and sections [{id, title, level 1-3}]: begins it, or orders it anew; texts stay), write (section,
text: the whole section in Markdown, without its heading; a new section also needs title, and goes to the end
or after), revise (section, old, new: replaces those words), read (the outline; with section: its text), check
(section: its sentences against their sources; mend what is not borne out), remove (section), export
(formats). Cite passages as [7] as in an answer: export numbers them through and adds the list of sources.
Figures of chart and table: a paragraph ![caption](path). Formulas: $x^2$."""

_SECTION = {"type": "string", "pattern": f"^{ID}$", "description": "The section's id, such as ch-2."}
_TEXT = {"type": "string", "maxLength": MAX_SECTION_CHARS}
_TITLE = {"type": "string", "minLength": 1, "maxLength": MAX_TITLE_CHARS}
_LEVEL = {"type": "integer", "minimum": 1, "maximum": MAX_LEVEL}

SPEC = ToolSpec(
    name="document",
    description=" ".join(DESCRIPTION.split()),
    parameters={
        "type": "object",
        "properties": {
            "action": {"enum": ["outline", "write", "revise", "read", "check", "remove", "export"]},
            "name": {"type": "string", "pattern": f"^{ID}$", "description": "Where there are several."},
            "title": _TITLE,
            "sections": {
                "type": "array",
                "maxItems": MAX_SECTIONS,
                "items": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "pattern": f"^{ID}$"},
                        "title": _TITLE,
                        "level": _LEVEL,
                    },
                    "required": ["id", "title"],
                    "additionalProperties": False,
                },
            },
            "section": _SECTION,
            "level": _LEVEL,
            "after": _SECTION,
            "text": _TEXT,
            "old": _TEXT,
            "new": _TEXT,
            "formats": {"type": "array", "items": {"enum": list(KINDS)}},
        },
        "required": ["action"],
        "additionalProperties": False,
    },
)

_NEEDED = {
    "outline": ("title", "sections"),
    "write": ("section", "text"),
    "revise": ("section", "old", "new"),
    "check": ("section",),
    "remove": ("section",),
}


class WriteDocument:
    """Calls of one turn must not overlap: `resources` sees to it."""

    spec = SPEC
    traits = Traits(
        effect=Effect.LOCAL, trust=Trust.USER, timeout_s=EXPORT_S, max_result_chars=MAX_SECTION_CHARS + 10_000
    )

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        action = arguments["action"]
        if missing := [name for name in _NEEDED.get(action, ()) if name not in arguments]:
            return _refused(f"The action {action} needs {' and '.join(missing)}.")
        actions: dict[str, Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolResult]]] = {
            "outline": self._desk.outline,
            "write": self._desk.write,
            "revise": self._desk.revise,
            "read": self._desk.read,
            "check": self._desk.check,
            "remove": self._desk.remove,
            "export": self._desk.export,
        }
        named = {**arguments, "name": arguments.get("name", shelf.DEFAULT)}
        try:
            return await actions[action](named, context)
        except (Misuse, NoManuscript, BadPath) as fault:
            return _refused(str(fault))
        except (NotPrintable, WorkspaceFull, SnapshotLost) as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)


def _refused(text: str) -> ToolResult:
    return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
