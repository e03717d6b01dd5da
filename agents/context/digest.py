"""The last request of a turn that nothing else makes fit: the question, and what is recorded of the rest."""

from agents.context import opening, rendering
from agents.context.branch import Branch
from agents.context.handoff import Allowance, Writer
from agents.context.sizes import FRAME_TOKENS, CountTokens, cut, tokens_of
from agents.notebook import Notebook
from agents.transcript import Transcript
from inference.schema import ChatMessage


async def of(
    transcript: Transcript,
    branch: Branch,
    notebook: Notebook | None,
    *,
    max_tokens: int,
    count_tokens: CountTokens,
) -> tuple[ChatMessage, ...]:
    """In at most so many tokens, whatever the window."""
    head = opening.squeezed(transcript.opening, max_tokens // 2, count_tokens)
    left = max_tokens - tokens_of(head, count_tokens)
    unread = [note.text for note in transcript.notes_after(branch.last_step) if note.text]
    last_word = cut("\n".join(unread), left // 3, count_tokens)
    share = max(left // 3, 0)
    writer = Writer(
        transcript,
        branch,
        notebook,
        Allowance(note=share // 2, memory=share, index=share // 2, tail=0),
        count_tokens,
    )
    note = await writer.write(None, (), through_step=branch.last_step)
    left -= count_tokens(last_word) + 2 * FRAME_TOKENS
    recorded = cut(note.text, left, count_tokens)
    return (*head, *(rendering.platform_message(text) for text in (recorded, last_word) if text))
