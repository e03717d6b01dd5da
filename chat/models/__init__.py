"""The rows of the chat: what is said (`talk`), what people attach to it (`attachments`), and the work behind
it (`work`)."""

from chat.models.attachments import Attachment, AttachmentPart, TurnDocument
from chat.models.talk import Conversation, Message, Part, Turn
from chat.models.work import Artifact, Fact, Passage, PlanItem, ToolRun

__all__ = [
    "Artifact",
    "Attachment",
    "AttachmentPart",
    "Conversation",
    "Fact",
    "Message",
    "Part",
    "Passage",
    "PlanItem",
    "ToolRun",
    "Turn",
    "TurnDocument",
]
