"""The rows of the chat: what is said (`talk`), what people attach to it (`attachments`), the work behind
it (`work`), what is searched (`search`), and what others may read (`shares`)."""

from chat.models.attachments import Attachment, AttachmentPart, TurnDocument
from chat.models.search import SearchEntry
from chat.models.shares import Share
from chat.models.talk import Conversation, Folder, Message, Part, Tag, Turn
from chat.models.work import Artifact, Fact, Passage, PlanItem, ToolRun

__all__ = [
    "Artifact",
    "Attachment",
    "AttachmentPart",
    "Conversation",
    "Fact",
    "Folder",
    "Message",
    "Part",
    "Passage",
    "PlanItem",
    "SearchEntry",
    "Share",
    "Tag",
    "ToolRun",
    "Turn",
    "TurnDocument",
]
