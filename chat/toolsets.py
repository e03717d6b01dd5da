"""Which tools a turn gets, and under which terms."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache, partial
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import Q

from agents import custom_tools
from agents.sandbox.turn_sandbox import TurnSandbox
from agents.tool import Approval, Tool, Trust, least_trusted
from agents.tool_cache.redis_cache import RedisToolCache
from agents.tooling import outgoing
from agents.tooling.exposure import Exposure, Opening
from agents.tooling.outgoing import Secrets
from agents.tooling.policy import Grant, Policy
from agents.tooling.toolset import Toolset
from agents.tools.ask_user import AskUser
from agents.tools.calculate import Calculate
from agents.tools.memory import Recall, Remember
from agents.tools.plan import Plan
from agents.tools.rollback import Rollback
from agents.tools.verify_claim import VerifyClaim
from chat import (
    code_tools,
    conductors,
    document_tools,
    memory_tools,
    own_loop,
    page_tools,
    search_tools,
    tool_servers,
    writing_tools,
)
from chat import notebook as notebooks
from chat.frames import ToolTerms
from chat.models import Message, Part, Passage, ToolRun, Turn, TurnDocument
from chat.notebook import DatabaseNotebook
from inference.schema import ToolSpec
from webapp.catalog.models import ServedModel


def may_call_tools(model: ServedModel, *, long_thinking: bool) -> bool:
    """Tools belong to Long Thinking, and to models that can call them."""
    return long_thinking and model.calls_tools


def may_look_up(model: ServedModel, *, long_thinking: bool) -> bool:
    """Whether a turn gets the tools that look things up in documents."""
    return may_call_tools(model, long_thinking=long_thinking) and not model.is_small


def specs_for(model: ServedModel, *, long_thinking: bool) -> tuple[ToolSpec, ...]:
    """What of the tools goes into the model's prompt, as far as it is known before there is a turn."""
    if not may_call_tools(model, long_thinking=long_thinking):
        return ()
    added = Toolset(custom_tools.installed()).specs
    if model.is_small:
        return (Calculate.spec, *([Recall.spec] if added else []), *added)
    platform = (
        *(Calculate.spec_with_algebra, AskUser.spec, VerifyClaim.spec),
        *(Plan.spec, Remember.spec, Recall.spec, Rollback.spec),
    )
    return (*platform, *search_tools.specs(model), *code_tools.specs(), *writing_tools.specs(), *added)


def names_of_all() -> list[str]:
    """What a preset may choose from: the platform's tools and those that the operator has added."""
    asking = ServedModel(calls_tools=True, thinks=True)
    return sorted({spec.name for spec in specs_for(asking, long_thinking=True)})


@asynccontextmanager
async def opened(
    turn: Turn, *, notebook: DatabaseNotebook, own: Iterable[Tool] = ()
) -> AsyncGenerator[Toolset, None]:
    """The toolset of a turn, for one event loop. `own` are further tools made for this turn alone.

    A small model gets the calculator and what the operator has added: with all of the platform's at
    hand, one of 1.5 billion parameters answers easy questions wrong, and takes three times as long.
    """
    if not may_call_tools(turn.model, long_thinking=turn.long_thinking):
        yield Toolset()
        return
    theirs = await tool_servers.tools()
    terms = msgspec.convert(turn.tool_terms, ToolTerms)
    added: list[Tool] = [*custom_tools.installed(), *theirs]
    platform: list[Tool]
    if turn.model.is_small:
        # Results of added tools may be long: what leaves the view says that recall brings it back.
        platform = [Calculate(), *([Recall(notebook)] if added else [])]
    else:
        sandbox = code_tools.sandbox_of(turn)
        platform = [
            *await _platform(turn, sandbox),
            *notebooks.tools_of(turn, notebook, sandbox),
            *own,
        ]
    # The platform's first: of two tools with one name the first is kept.
    tools = [*page_tools.allowed(turn, platform), *added]
    if terms.only is not None:
        tools = [tool for tool in tools if tool.spec.name in terms.only]
    if (allowed := conductors.tools_of(turn)) is not None:
        tools = [tool for tool in tools if tool.spec.name in allowed]
    policy = replace(
        _policy(),
        approvals={**tool_servers.approvals_of(theirs), **_policy().approvals},
        grants=tuple(Grant(tool=one.tool, arguments=one.arguments) for one in terms.granted),
    )
    async with own_loop.kept("tool cache", partial(RedisToolCache.opened, settings.REDIS_URL)) as tool_cache:
        # Of a temporary chat nothing stays, its results neither.
        cache = None if turn.conversation.is_temporary else tool_cache
        yield Toolset(tools, policy=policy, cache=cache, is_fresh=terms.is_fresh)


async def _platform(turn: Turn, sandbox: TurnSandbox) -> list[Tool]:
    # An agent has no person of its own to ask.
    asking: list[Tool] = [] if turn.spawned_by_id else [AskUser()]
    looking = await own_loop.database(search_tools.tools, turn.model)
    looking += await own_loop.database(document_tools.tools_of, turn)
    looking += await own_loop.database(memory_tools.tools_of, turn)
    calculator = await asyncio.to_thread(code_tools.calculator)
    return [calculator, *asking, *looking, *await asyncio.to_thread(code_tools.tools_of, sandbox)]


@cache
def _policy() -> Policy:
    """What the operator has set."""
    return Policy(
        approvals={tool: Approval(when) for tool, when in settings.TOOL_APPROVAL.items()},
        secrets=Secrets(settings.KEPT_SECRETS),
        expires_in_s=settings.APPROVAL_HOURS * 3_600.0,
    )


# ---- what the turn begins with


def opening_of(turn: Turn) -> Opening:
    """What earlier turns have brought into the model's view; for an agent, what its parent had read."""
    if turn.spawned_by_id is not None:
        top = Turn.objects.select_related("conversation").get(id=turn.spawned_by_id)
        return Opening(exposure=_exposure([*_earlier(top), top.id], own=turn), is_by_person=False)
    return Opening(exposure=_exposure(_earlier(turn), own=turn))


def _earlier(turn: Turn) -> list[UUID]:
    family = dict(turn.conversation.turns.values_list("id", "parent_id"))
    path, at = [], turn.parent_id
    while at is not None:
        path.append(at)
        at = family[at]
    return path


def _exposure(turn_ids: list[UUID], *, own: Turn) -> Exposure:
    """With the sources that the turn itself has found: a resumed transcript does not hold them."""
    # What its agents read stands in a turn's answer, whoever led them.
    theirs = Q(turn__in=turn_ids) | Q(turn__spawned_by__in=turn_ids)
    brought = ToolRun.objects.filter(theirs).exclude(trust="").values_list("trust", flat=True)
    own_words = Turn.objects.filter(id__in=turn_ids, is_adopted=False)
    asked = Part.objects.filter(message__turn__in=own_words, message__role=Message.Role.USER)
    known = {url for text in asked.values_list("text", flat=True) for url in outgoing.urls_of(text)}
    found = Passage.objects.filter(turn__in=[*turn_ids, own.id]).values_list("source", flat=True)
    known |= set(found.distinct())
    # Whatever branch they were attached on: their files lie in the folder of all.
    has_documents = TurnDocument.objects.filter(turn__conversation=own.conversation_id).exists()
    read = Trust.DOCUMENT if has_documents else Trust.USER
    if tool_servers.are_described_by_others():
        read = least_trusted(read, Trust.MCP)
    if Turn.objects.filter(id__in=turn_ids, is_adopted=True).exists():
        read = Trust.WEB
    return Exposure(
        trust=least_trusted(read, *(Trust(label) for label in brought.distinct())),
        known_urls=frozenset(map(outgoing.plain, known)),
    )
