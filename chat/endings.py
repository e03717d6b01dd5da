"""What stays of a person's turn once it is over, beside its own rows: the place of its chat among the others,
what is searched, who is told. Written in the transaction that ends it."""

from chat import answer_marks, history, notices, passages, search_index
from chat.models import Conversation, Turn
from webapp.database_clock import FromNow


def keep(turn: Turn) -> None:
    """Nothing of an agent, whose turn says it all."""
    if turn.spawned_by_id is not None:
        return
    Conversation.objects.filter(id=turn.conversation_id).update(updated_at=FromNow())
    answer = history.final_text(history.steps_of(turn, with_runs=False))
    search_index.keep_answer(turn, answer)
    if numbers := answer_marks.cited(answer):
        search_index.keep_sources(turn, passages.visible(turn).filter(number__in=numbers))
    notices.plan(turn)
