"""The rows of the chat: what is said (`talk`), what people attach to it (`attachments`), the work behind
it (`work`), what is to be said next (`queued`), what is searched (`search`), what others may read (`shares`),
and what is a person's own (`personal`)."""

from chat.models.attachments import Attachment, AttachmentPart, TurnDocument
from chat.models.personal import Draft, Feedback, Memory, Notice, Preferences, Preset, Thinking
from chat.models.queued import QueuedMessage
from chat.models.search import SearchEntry
from chat.models.shares import Share
from chat.models.talk import Conversation, Folder, Message, Part, Tag, Turn
from chat.models.work import Artifact, Fact, Passage, PlanItem, ToolRun

__all__ = [
    "Artifact",
    "Attachment",
    "AttachmentPart",
    "Conversation",
    "Draft",
    "Fact",
    "Feedback",
    "Folder",
    "Memory",
    "Message",
    "Notice",
    "Part",
    "Passage",
    "PlanItem",
    "Preferences",
    "Preset",
    "QueuedMessage",
    "SearchEntry",
    "Share",
    "Tag",
    "Thinking",
    "ToolRun",
    "Turn",
    "TurnDocument",
]
