"""What a person has written while a turn was under way, and is to be said next."""

from django.db import models

from chat.models.talk import Conversation, Turn


class QueuedMessage(models.Model):
    """A message that waits for the end of the turn under way. Its id is the client id of the turn that it
    will start, so that it starts one. `wishes` is the rest of its chat.frames.TurnSend. With `steers` it was
    said to that turn as a note; should the turn end unread of it, it is a message again. `fault` is why it
    could not be sent."""

    id = models.UUIDField(primary_key=True, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="queued")
    text = models.TextField()
    wishes = models.JSONField(default=dict, blank=True)
    steers = models.ForeignKey(Turn, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    fault = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("created_at", "id")

    def __str__(self) -> str:
        return str(self.id)
