"""The rows of the chat: what is said (`talk`), and the work behind it (`work`)."""

from chat.models.talk import Conversation, Message, Part, Turn
from chat.models.work import Artifact, Fact, Passage, PlanItem, ToolRun

__all__ = ["Artifact", "Conversation", "Fact", "Message", "Part", "Passage", "PlanItem", "ToolRun", "Turn"]
