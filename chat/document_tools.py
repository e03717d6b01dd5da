"""The tools that look things up in attached documents, and the files for the code of the turn."""

import logging

from agents.documents.shelf import Shelf
from agents.tool import Tool
from agents.tools.read_document import ReadDocument
from agents.tools.search_documents import SearchDocuments
from chat import documents, workspaces
from chat.models import Turn
from inference.schema import ToolSpec

logger = logging.getLogger(__name__)


def specs() -> tuple[ToolSpec, ...]:
    return (SearchDocuments.spec, ReadDocument.spec)


def tools_of(turn: Turn) -> list[Tool]:
    """None where no documents were attached. Blocking."""
    shelf: Shelf | None = documents.shelf_of(turn)
    if shelf is None:
        return []
    _put_away(turn)
    return [SearchDocuments(shelf), ReadDocument(shelf)]


def _put_away(turn: Turn) -> None:
    """The files that came with the question, where the turn's code finds them."""
    new = [row.attachment for row in turn.documents.filter(is_new=True).select_related("attachment")]
    if not new or workspaces.has_used_files(turn):
        return
    for attachment in new:
        try:
            with attachment.file.open("rb") as file:
                workspaces.put(turn.conversation, documents.source_of(attachment.name), file.read())
        except (workspaces.WorkspaceFull, workspaces.BadPath, OSError):
            # Its text can be read all the same.
            logger.warning("attachment %s: not in the work folder", attachment.id)
