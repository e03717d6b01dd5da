"""A turn's steps in the database: the `agents.store.TurnStore` of a worker that holds the turn."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import translation

from agents.budget import Grant
from agents.steps.reply import Reply
from agents.steps.stopping import StopSignal
from agents.store import BudgetExhausted
from agents.tool import Intent, ToolResult, Waiting
from agents.transcript import Note, NoteKind
from chat import budgets, step_rows, turns, wording
from chat.models import Turn
from chat.own_loop import database
from chat.step_rows import Held
from chat.turn_log import TurnLog
from inference.schema import ChatRequest, Usage
from webapp.billing import estimates, pricing
from webapp.billing.pricing import Rates
from webapp.billing.refusals import InsufficientFunds


class DatabaseStore:
    """`known_notes` are the ids of the notes that the turn was resumed with, `fees_nano` is what its tools
    had cost by then."""

    def __init__(
        self,
        turn: Turn,
        *,
        fence: int,
        rates: Rates,
        log: TurnLog,
        stop: StopSignal,
        known_notes: set[UUID],
        fees_nano: int = 0,
    ) -> None:
        self._turn = turn
        self._fence = fence
        self._rates = rates
        self._log = log
        self._stop = stop
        self.known_notes = known_notes
        self._fees_nano = fees_nano
        self._has_news = True
        self._may_have_agents = True
        self._may_be_steered = bool(known_notes)

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> Grant:
        max_tokens = request.sampling.max_tokens or self._turn.model.max_output_tokens
        if self._rates.is_free and not self._fees_nano:
            return Grant(max_tokens=max_tokens)
        call = budgets.Call(
            fence=self._fence,
            rates=self._rates,
            spent=spent,
            fees_nano=self._fees_nano,
            max_input_tokens=estimates.most_input_tokens(
                request.messages, tools=request.tools, context_tokens=self._turn.model.context_tokens
            ),
            max_output_tokens=max_tokens,
            ttl=timedelta(seconds=self._turn.max_seconds + turns.SPARE_S),
        )
        try:
            with translation.override(wording.language(self._turn)):
                return await budgets.reserve(self._turn, call, sleep=self._stop.sleep)
        except InsufficientFunds as fault:
            raise BudgetExhausted(str(fault)) from fault
        except budgets.CallLost as lost:
            raise turns.TurnLost(str(lost)) from lost

    async def spent_by_agents(self) -> int:
        """Nothing is asked of the database during a segment that began without agents: those that are spawned
        in it have the turn wait for them, which ends it."""
        if self._turn.spawned_by_id is None and self._may_have_agents:
            agents_nano = await database(budgets.spent_by_agents, self._turn)
            self._may_have_agents = agents_nano is not None
            return agents_nano or 0
        return 0

    async def save_reply(self, reply: Reply, intents: Sequence[Intent]) -> None:
        cost_nano = pricing.cost_nano(self._rates, reply.usage)
        read = frozenset(self.known_notes) if self._may_be_steered else ()
        await database(step_rows.save_reply, self._held(), reply, intents, cost_nano=cost_nano, read=read)
        self._may_be_steered = False

    async def save_aside(self, reply: Reply) -> None:
        cost_nano = pricing.cost_nano(self._rates, reply.usage)
        await database(step_rows.save_aside, self._held(), reply, cost_nano=cost_nano)

    async def begin(self, intent: Intent) -> None:
        await database(step_rows.begin, self._held(), intent)

    async def save_result(
        self, intent: Intent, result: ToolResult, *, duration_ms: int, first_passage: int
    ) -> None:
        note_ids = await database(
            step_rows.save_result,
            self._held(),
            intent,
            result,
            duration_ms=duration_ms,
            first_passage=first_passage,
        )
        self._fees_nano += result.usage.cost_nano
        self.known_notes.update(note_ids)

    async def save_waiting(self, intent: Intent, waiting: Waiting) -> datetime | None:
        return await database(step_rows.save_waiting, self._held(), intent, waiting)

    async def save_note(self, note: Note) -> None:
        self.known_notes.add(await database(step_rows.save_note, self._held(), note))

    async def heard(self, *, step: int) -> Sequence[Note]:
        if not self._has_news:
            return ()
        self._has_news = False
        fresh = await database(step_rows.hear, self._held(), self.known_notes, step=step)
        self.known_notes.update(note_id for note_id, _ in fresh)
        self._may_be_steered |= any(note.kind is NoteKind.STEER for _, note in fresh)
        return [note for _, note in fresh]

    def look_for_news(self) -> None:
        """Somebody has rung for the turn: they may have left it a note."""
        self._has_news = True

    def _held(self) -> Held:
        self._log.send_text()
        return Held(
            turn=self._turn,
            fence=self._fence,
            last_seq=self._log.last_seq,
            counts=not self._rates.is_free,
        )
