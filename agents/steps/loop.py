"""One turn, step by step: a model call, the tools it asks for, and again until the model has answered.

Knows no Django, no Celery and no Redis: a store keeps what must last, a listener hears what happens.
"""

import time
from uuid import uuid4

from agents import context, limits
from agents.budget import Grant
from agents.context import ContextFull
from agents.happenings import NoteAdded, TurnWaiting
from agents.limits import Limit, Spent
from agents.steps import calls, model_call
from agents.steps.model_call import CallFailed, CallStopped, PromptIsTooLong
from agents.steps.progress import Outcome, Parked, Progress
from agents.steps.reply import Reply
from agents.steps.setting import Patience, Setting
from agents.steps.stopping import Interrupted, Why
from agents.store import BudgetExhausted
from agents.teams import conductor
from agents.tool import WaitingFor
from agents.transcript import Note, NoteKind
from inference.schema import ChatMessage, ChatRequest, FinishReason, Sampling, Thinking

__all__ = ["Outcome", "Parked", "Patience", "Progress", "Setting", "drive", "note", "step"]

TRIES_TO_FIT = 2
SHARE_OF_WINDOW_LEFT = 0.8
SHARE_FOR_FINAL_ANSWER = 0.1  # of the output tokens, at most so many: what is there even when all are used
TOKENS_FOR_FINAL_ANSWER = 1_024
NO_ANSWER = "The model ended its answer before it had said anything, twice. Ask again, or ask differently."

End = Outcome | Parked


async def drive(setting: Setting, progress: Progress, *, max_steps: int, until: float) -> End | None:
    """Go on with the turn to its end, until it has to wait, or for `max_steps` steps or until the monotonic
    time `until`: then None.

    A limit, a stop and a fault of the backend end the turn with what was answered so far. Raises Interrupted
    (LOST) when another worker has taken over.
    """
    try:
        if (end := await _begin(setting, progress)) is not None:
            return end
        for _ in range(max_steps):
            if (end := await step(setting, progress)) is not None:
                return end
            if time.monotonic() >= until:
                break
    except Interrupted as interruption:
        return _interrupted(interruption.why)
    return None


async def _begin(setting: Setting, progress: Progress) -> End | None:
    """What is left to be done of the steps so far."""
    if progress.ended is not None:
        return await _end(setting, progress, progress.ended)
    if setting.conductor is not None:
        end = await setting.conductor.conduct(setting, progress)
        if end is not None:
            return end
    return await calls.run(setting, progress)


async def step(setting: Setting, progress: Progress) -> End | None:
    """One model call and its tools; None when another step is to follow. Raises Interrupted between and
    inside its waits."""
    setting.stop.check()
    for heard in await setting.store.heard(step=progress.last_step):
        progress.take_note(heard)
        if heard.kind is NoteKind.STEER:
            await setting.emit.happened(_shown(heard))
    await _say_what_must_be_said(setting, progress)
    try:
        reply = await _reply(setting, progress)
    except BudgetExhausted as fault:
        return Outcome(finish_reason=FinishReason.LENGTH, detail=str(fault))
    except CallStopped as stopped:
        if stopped.why is not Why.LOST:
            await _keep_cut(setting, stopped.cut)
        raise Interrupted(stopped.why) from stopped
    except CallFailed as fault:
        if fault.retry_after_s is not None and fault.retry_after_s > setting.patience.max_seconds:
            waiting = TurnWaiting(step=progress.last_step, waiting_for=WaitingFor.QUOTA, calls=[])
            await setting.emit.happened(waiting)
            return Parked(waiting_for=WaitingFor.QUOTA, wake_in_s=fault.retry_after_s)
        await _keep_cut(setting, fault.cut)
        return Outcome(finish_reason=FinishReason.ERROR, detail=str(fault))
    return await _take(setting, progress, reply)


async def _reply(setting: Setting, progress: Progress) -> Reply:
    """The model's reply; asked for with less and less of the turn in view, where that was too long for it."""
    for _ in range(TRIES_TO_FIT):
        try:
            return await model_call.call(setting, progress, await _paid_request(setting, progress))
        except PromptIsTooLong:
            # Our estimate of its tokens was too low: by so much at least.
            progress.window_share *= SHARE_OF_WINDOW_LEFT
    return await model_call.call(setting, progress, await _paid_request(setting, progress))


async def note(setting: Setting, progress: Progress, new: Note) -> None:
    """Say it to the turn's readers, keep it, and go on with it."""
    await setting.emit.happened(_shown(new))
    await setting.store.save_note(new)
    progress.take_note(new)


def _shown(new: Note) -> NoteAdded:
    return NoteAdded(step=new.step, kind=new.kind, text=new.text, data=new.data)


def end_of(reason: FinishReason, *, detail: str = "", forced: Limit | None = None) -> Outcome:
    """How a turn ends with a reply that called nothing, or whose calls are not to be run."""
    if reason in (FinishReason.ERROR, FinishReason.CANCELLED):
        return Outcome(finish_reason=reason, detail=detail)
    if forced is not None:
        return Outcome(finish_reason=FinishReason.LENGTH, limit=forced)
    # A model that says it calls tools and calls none has stopped.
    reason = FinishReason.STOP if reason is FinishReason.TOOL_CALLS else reason
    return Outcome(finish_reason=reason, detail=detail)


def runs_calls(reason: FinishReason, *, forced: Limit | None) -> bool:
    """Whether the calls of a reply with this end are run. A model that says it has stopped and calls tools
    has called them; those of a reply that was cut may be half a call."""
    return forced is None and reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)


def _interrupted(why: Why) -> Outcome:
    if why is Why.CANCELLED:
        return Outcome(finish_reason=FinishReason.CANCELLED)
    if why is Why.TIME:
        return Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.SECONDS)
    raise Interrupted(why)


async def _keep_cut(setting: Setting, cut: Reply) -> None:
    if not cut.is_empty:
        await setting.store.save_reply(cut, [])


# ---- what the model is told before a step


async def _say_what_must_be_said(setting: Setting, progress: Progress) -> None:
    """Advice where calls repeat, a warning for each limit that is near, and the last word when one is
    reached."""
    if setting.guard is not None and (advice := setting.guard(progress.transcript)) is not None:
        await note(setting, progress, advice)
    if progress.forced is not None:
        return
    spent = await _spent(setting, progress)
    if (limit := limits.reached(setting.limits, spent)) is not None:
        await force(setting, progress, limit)
        return
    for limit, share in limits.near(setting.limits, spent).items():
        await _warn(setting, progress, limit, share, of=str(limit))
    for tool, most in setting.limits.max_calls_per_tool.items():
        if most and (share := progress.calls_of_tool[tool] / most) >= limits.SHARE_TO_WARN:
            await _warn(setting, progress, Limit.CALLS, share, of=f"calls of {tool}")


async def force(setting: Setting, progress: Progress, limit: Limit) -> None:
    """From here on the turn has one reply left: its answer."""
    text = "A limit of this turn is reached. Answer now, with what you know; say what is missing. No tools."
    data = {"limit": str(limit), "share": 1.0}
    await note(setting, progress, Note(step=progress.last_step, kind=NoteKind.BUDGET, text=text, data=data))


async def _warn(setting: Setting, progress: Progress, limit: Limit, share: float, *, of: str) -> None:
    if of in progress.warned:
        return
    what = of.replace("_", " ")
    text = f"{share:.0%} of this turn's limit of {what} is used. Come to an answer before it is reached."
    # A share of 1 is the last word: `force` says it.
    data = {"limit": str(limit), "share": min(round(share, 3), 0.999), "of": of}
    await note(setting, progress, Note(step=progress.last_step, kind=NoteKind.BUDGET, text=text, data=data))


async def _spent(setting: Setting, progress: Progress) -> Spent:
    agents_nano = await setting.store.spent_by_agents()
    return progress.spent(
        cost_nano=setting.cost_nano(progress.usage) + agents_nano,
        last_cost_nano=setting.cost_nano(progress.last_usage),
    )


# ---- the request


async def _paid_request(setting: Setting, progress: Progress) -> ChatRequest:
    """The request with money set aside for it. Raises BudgetExhausted."""
    request = await _request(setting, progress)
    grant = await setting.store.reserve(request, spent=progress.usage)
    if grant.is_final and progress.forced is None:
        await force(setting, progress, grant.limit)
        return await _request(setting, progress, grant=grant)
    if grant.max_tokens < (request.sampling.max_tokens or grant.max_tokens):
        # Not fitted anew: that might ask on the side, with the money that is set aside for this call.
        return _request_of(setting, progress, request.messages, grant=grant)
    return request


async def _request(setting: Setting, progress: Progress, *, grant: Grant | None = None) -> ChatRequest:
    return _request_of(setting, progress, await _messages(setting, progress), grant=grant)


def _request_of(
    setting: Setting, progress: Progress, messages: tuple[ChatMessage, ...], *, grant: Grant | None
) -> ChatRequest:
    max_tokens = _max_tokens(setting, progress, grant)
    budget = min(setting.limits.max_reasoning_tokens, int(max_tokens * limits.SHARE_TO_REASON))
    thinks = setting.thinks and budget > 0 and not progress.was_empty(progress.last_step)
    return ChatRequest(
        id=f"{setting.turn_id}.{progress.next_step}.{uuid4().hex[:8]}",
        model=setting.model,
        messages=messages,
        tools=setting.toolset.specs,
        # The tools stay in the prompt, so that its prefix is found in the cache; they are only forbidden.
        tool_choice="none" if _forbids_tools(progress) else "auto",
        sampling=Sampling(max_tokens=max_tokens, seed=setting.seed),
        thinking=Thinking(enabled=thinks, budget_tokens=budget if setting.thinks else None),
        tenant=setting.tenant,
    )


def _forbids_tools(progress: Progress) -> bool:
    return (
        progress.forced is not None or progress.is_text_only or conductor.forbids_tools(progress.transcript)
    )


async def _messages(setting: Setting, progress: Progress) -> tuple[ChatMessage, ...]:
    """The model's view, made to fit its window. Where it cannot be, this is the last step."""
    try:
        return await _fitted(setting, progress, is_final=progress.forced is not None)
    except ContextFull:
        if progress.forced is None:
            await force(setting, progress, Limit.CONTEXT)
        return await _fitted(setting, progress, is_final=True)


async def _fitted(setting: Setting, progress: Progress, *, is_final: bool) -> tuple[ChatMessage, ...]:
    async def save(new: Note) -> None:
        await note(setting, progress, new)

    messages = await context.fit(
        progress.transcript,
        window=_window(setting, progress),
        overhead_tokens=setting.overhead_tokens,
        reply_tokens=setting.reply_tokens,
        count_tokens=setting.count_tokens,
        save=save,
        ask=model_call.asker(setting, progress),
        notebook=setting.notebook,
        is_final=is_final,
        last_input_tokens=progress.last_usage.input_tokens,
    )
    return tuple(messages)


def _window(setting: Setting, progress: Progress) -> int:
    return int(setting.context_tokens * progress.window_share)


def _max_tokens(setting: Setting, progress: Progress, grant: Grant | None) -> int:
    most = setting.limits.max_output_tokens
    kept = max(1, min(TOKENS_FOR_FINAL_ANSWER, int(most * SHARE_FOR_FINAL_ANSWER)))
    left = max(most - progress.usage.output_tokens, kept)
    view = context.num_tokens(progress.transcript, count_tokens=setting.count_tokens)
    room = max(_window(setting, progress) - setting.overhead_tokens - view, kept)
    return min(setting.reply_tokens, left, room, grant.max_tokens if grant else left)


# ---- the reply


async def _take(setting: Setting, progress: Progress, reply: Reply) -> End | None:
    """Keep the reply and run its calls, or end with it."""
    runs = bool(reply.tool_calls) and runs_calls(reply.finish_reason, forced=progress.forced)
    intents = calls.intents_of(setting, reply) if runs else []
    await setting.store.save_reply(reply, intents)
    said = "".join([reply.reasoning, reply.content, *(call.arguments for call in reply.tool_calls)])
    progress.take_reply(reply, intents, num_tokens=setting.count_tokens(said))
    if runs:
        return await calls.run(setting, progress)
    outcome = end_of(reply.finish_reason, detail=reply.detail, forced=progress.forced)
    return await _end(setting, progress, outcome)


async def _end(setting: Setting, progress: Progress, outcome: Outcome) -> Outcome | None:
    """The end, unless there is no answer yet or a check sends it back: then None."""
    progress.ended = outcome
    if outcome.finish_reason in (FinishReason.ERROR, FinishReason.CANCELLED):
        return outcome
    is_answered = bool(progress.transcript.steps[-1].content.strip())
    goes_on = await (_must_revise if is_answered else _asks_again)(setting, progress)
    if goes_on:
        progress.ended = None
        return None
    if is_answered or outcome.finish_reason is not FinishReason.STOP:
        return outcome
    return Outcome(finish_reason=FinishReason.ERROR, detail=NO_ANSWER)


async def _asks_again(setting: Setting, progress: Progress) -> bool:
    """After a reply without an answer the model is asked once more."""
    last = progress.last_step
    if progress.was_empty(last):
        return True  # a worker that died since had asked already
    if progress.was_empty(last - 1) or progress.forced_before(last) is not None:
        return False
    has_thought = bool(progress.transcript.steps[-1].reasoning)
    text = f"Your reply {'was all reasoning' if has_thought else 'was empty'}. Write your answer now."
    data = {"level": "empty", "tool": "", "times": 1}
    await note(setting, progress, Note(step=last, kind=NoteKind.GUARD, text=text, data=data))
    return True


async def _must_revise(setting: Setting, progress: Progress) -> bool:
    """Whether the answer, checked, goes back to the model. Checked once, whoever asks again."""
    if setting.verifier is None:
        return False
    may_revise = progress.forced_before(progress.last_step) is None
    check = progress.check_of(progress.last_step)
    if check is None:
        ask = model_call.asker(setting, progress)
        check = await setting.verifier.check(progress.transcript, ask=ask, may_revise=may_revise)
        if check is None:
            return False
        await note(setting, progress, check)
    return check.data.get("must_revise") is True and may_revise
