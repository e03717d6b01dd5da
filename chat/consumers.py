"""The chat's websocket: parses a frame, makes one domain call, answers. What a turn does is not tied to any
socket."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from importlib import import_module
from typing import TypeVar, cast
from uuid import UUID

import msgspec
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError
from django.utils import translation
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from chat import dispatch, frames, long_results, presence, replay, steering
from chat.dispatch import Refusal
from chat.models import Turn
from webapp.accounts.models import User

logger = logging.getLogger(__name__)

SIGNED_OUT = 4401
TOO_SLOW = 4408
TRY_AGAIN = 4503  # a server may close with 1000 or a code of 3000 to 4999: no other reaches the page
CHECK_SESSION_S = 60.0
SEND_WITHIN_S = 60.0  # one frame, to a reader that takes nothing
MAX_FOLLOWED = 32

A = TypeVar("A")
S = TypeVar("S", frames.TurnSend, frames.TurnRegenerate, frames.TurnContinue)
R = TypeVar("R")

_COMMAND: msgspec.json.Decoder[frames.Command] = msgspec.json.Decoder(frames.Command)


class ChatConsumer(AsyncWebsocketConsumer):
    """One browser tab. Commands are answered in order; events of the turns it attached to come in between."""

    async def connect(self) -> None:
        self.user = cast(User, self.scope["user"])
        self._followers: dict[UUID, asyncio.Task[None]] = {}
        self._guard: asyncio.Task[None] | None = None
        self._watching: str | None = None
        await self.accept()  # a page cannot read the code of a handshake that was refused
        if self.user.is_authenticated:
            self._guard = asyncio.create_task(self._watch_session())
        else:
            await self.close(SIGNED_OUT)

    async def disconnect(self, code: int) -> None:
        await self._note_presence(None)
        tasks = [*self._followers.values(), *([self._guard] if self._guard else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data or ""
        if len(text) > frames.MAX_FRAME_BYTES:
            await self._refuse(
                Refusal("message_too_long", _("This is too much for one message. Send it in pieces."))
            )
            return
        try:
            command = _COMMAND.decode(text)
        except (msgspec.MsgspecError, RecursionError) as fault:
            await self._refuse(Refusal("bad_frame", f"This frame cannot be read: {fault}"))
            return
        await self._answer(command)

    async def _answer(self, command: frames.Command) -> None:
        if isinstance(command, frames.Ping):
            await self._note_presence(command.watching)
            await self._reply(frames.Pong())
        elif not await self._is_signed_in():
            await self.close(SIGNED_OUT)
        else:
            try:
                await self._carry_out(command)
            except Refusal as refusal:
                await self._refuse(refusal, command)

    async def _carry_out(self, command: frames.Command) -> None:
        if isinstance(command, frames.TurnSend):
            await self._start(dispatch.submit_turn, command)
        elif isinstance(command, frames.TurnRegenerate):
            await self._start(dispatch.regenerate, command)
        elif isinstance(command, frames.TurnContinue):
            await self._start(dispatch.continue_turn, command)
        elif isinstance(command, frames.TurnStop):
            await self._call(dispatch.stop, command.turn)
        elif isinstance(command, frames.TurnAttach):
            self._attach(await self._call(dispatch.visible_turn, command.turn), after=command.after)
        elif isinstance(command, frames.CallDecide):
            await self._call(steering.decide_call, command)
        elif isinstance(command, frames.PlanEdit):
            await self._call(steering.edit_plan, command)

    async def _start(self, submit: Callable[[User, S], Turn], command: S) -> None:
        turn = await self._call(submit, command)
        await self._reply(
            frames.TurnAccepted(
                client_id=command.client_id,
                conversation=str(turn.conversation_id),
                turn=str(turn.id),
                parent=str(turn.parent_id) if turn.parent_id else None,
            )
        )

    async def _call(self, function: Callable[[User, A], R], argument: A) -> R:
        """The domain call, in a thread with a database connection and in the person's language."""

        def call() -> R:
            with translation.override(self._language):
                return function(self.user, argument)

        return await database_sync_to_async(call)()

    # ---- events

    def _attach(self, turn_id: UUID, *, after: int) -> None:
        """Follow the turn from there on; a second attach takes the place of the first."""
        if (before := self._followers.pop(turn_id, None)) is not None:
            before.cancel()
        if len(self._followers) >= MAX_FOLLOWED:
            oldest = next(iter(self._followers))
            self._followers.pop(oldest).cancel()
        self._followers[turn_id] = asyncio.create_task(self._follow(turn_id, after=after))

    async def _follow(self, turn_id: UUID, *, after: int) -> None:
        """Send the turn's events as fast as the reader takes them; what it has not taken waits in the turn's
        log."""
        try:
            async with aclosing(replay.follow(turn_id, after=after)) as news:
                async for entries in news:
                    for frame in frames.together(list(long_results.shortened(entries))):
                        async with asyncio.timeout(SEND_WITHIN_S):
                            await self.send(text_data=frame)
        except TimeoutError:
            await self.close(TOO_SLOW)
        except Turn.DoesNotExist:
            with translation.override(self._language):
                fault = dispatch.unknown_conversation()
            await self._refuse(fault, frames.TurnAttach(turn=str(turn_id)))
        except (RedisError, DatabaseError):
            logger.warning("turn %s: cannot be followed at the moment", turn_id, exc_info=True)
            await self.close(TRY_AGAIN)
        finally:
            if self._followers.get(turn_id) is asyncio.current_task():
                del self._followers[turn_id]

    @property
    def _language(self) -> str:
        return self.user.language or settings.LANGUAGE_CODE

    async def _reply(self, frame: msgspec.Struct) -> None:
        await self.send(text_data=msgspec.json.encode(frame).decode())

    async def _refuse(self, refusal: Refusal, command: frames.Command | None = None) -> None:
        await self._reply(
            frames.Refused(
                code=refusal.code,
                message=refusal.message,
                client_id=getattr(command, "client_id", None),
                turn=getattr(command, "turn", None),
            )
        )

    # ---- who is there

    async def _note_presence(self, conversation_id: str | None) -> None:
        """The chat that the page has in view, if any: its person need not be told what they see."""
        if self._watching is not None and self._watching != conversation_id:
            await presence.note(self.channel_name, self._watching, is_watching=False)
        self._watching = conversation_id
        if conversation_id is not None:
            await presence.note(self.channel_name, conversation_id, is_watching=True)

    async def _watch_session(self) -> None:
        """The handshake's session may end meanwhile: signed out elsewhere, password changed, account
        closed."""
        while True:
            await asyncio.sleep(CHECK_SESSION_S)
            with suppress(DatabaseError):  # away for a while: asked again
                if not await self._is_signed_in():
                    await self.close(SIGNED_OUT)
                    return

    async def _is_signed_in(self) -> bool:
        """Whether the session that opened this socket is still that of its person."""
        key = self.scope["session"].session_key
        if key is None:
            return False
        store = import_module(settings.SESSION_ENGINE).SessionStore(key)
        user = await get_user({**self.scope, "session": store})
        return user.pk is not None and user.pk == self.user.pk
