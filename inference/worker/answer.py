"""One request's way through the model: messages to a sequence, its tokens to deltas. No queue, no clock."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import dropwhile
from typing import NamedTuple

import msgspec

from inference.engine import Sequence as EngineSequence
from inference.engine import StepOutput
from inference.engine.sequence import TokenLogprob as EngineLogprob
from inference.parsers import reasoning, tool_calls
from inference.parsers.stream import StreamParser
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    LikelyToken,
    ReasoningDelta,
    Role,
    TokenLogprob,
    Usage,
)
from inference.tokenizer.detokenizer import Detokenizer
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker import defaults as model_defaults
from inference.worker.defaults import Defaults
from inference.worker.preparation import PromptRefused, prepare

__all__ = ["Answer", "PromptRefused"]

# The last part of a thinking budget, in which reasoning is closed where a sentence ends.
_GRACE_SHARE, _MOST_GRACE_TOKENS = 8, 64
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "\n")


class _Bridge(NamedTuple):
    """Text put into the model's mouth: `shown` is read like its own, `hidden` only leads on."""

    shown: list[int]
    hidden: list[int]


class Answer:
    """The state of one answer: run `sequence` and `feed` each of its outputs, in order."""

    def __init__(
        self,
        request: ChatRequest,
        *,
        tokenizer: Tokenizer,
        context_tokens: int,
        defaults: Defaults | None = None,
    ) -> None:
        """Raises PromptRefused, and TemplateRefused for messages that the model's template cannot put."""
        self._prepared = prepare(
            request,
            tokenizer=tokenizer,
            context_tokens=context_tokens,
            defaults=defaults or model_defaults.of_any_model(),
        )
        self.sequence = self._prepared.sequence
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer, shows_marks=True)
        self._parser = StreamParser(
            starts_in_reasoning=self._prepared.reasons_at_once,
            tools=self._prepared.tools,
            num_calls_before=sum(len(message.tool_calls) for message in request.messages),
            answered=_answered_calls(request) if self._prepared.is_led else (),
            stop=request.sampling.stop,
            style=tokenizer.call_style,
            marks=tokenizer.marks,
            has_begun=self._prepared.has_begun,
        )
        self._output_ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []  # of tokens of one channel whose text is not out yet
        self._are_of_reasoning = False
        self._next_sequence: EngineSequence | None = None
        self._lead_in = reasoning.lead_in(request.messages)
        self._is_closed = False  # the end of the reasoning was forced
        self._is_continued = False  # another sequence than the first is being run
        self._said = ""  # the last delta's text
        self.num_output_tokens = 0
        self.num_reasoning_tokens = 0
        self.num_cached_tokens = 0

    def feed(self, output: StepOutput) -> list[ChatDelta]:
        """The new deltas; `Finished` is the last one of the last output."""
        if not self._is_continued:
            self.num_cached_tokens = output.num_cached_tokens
        deltas: list[ChatDelta] = []
        for place, token_id in enumerate(output.token_ids):
            deltas += self._feed_token(token_id, output.logprobs[place] if output.logprobs else None)
            if self._parser.is_done:
                break
        if bridge := self._bridge(output):
            return deltas + self._go_on(bridge)
        if self._parser.is_done or output.finish_reason:
            deltas += self._end(output.finish_reason)
        return deltas

    def counted(self) -> Finished:
        """The end of an answer that was asked to be of no tokens: the prompt's length."""
        usage = Usage(input_uncached_tokens=len(self.sequence.prompt_ids))
        return Finished(reason=FinishReason.LENGTH, usage=usage)

    def take_next_sequence(self) -> EngineSequence | None:
        """The sequence that goes on where the last one ended; to be added to the engine, once."""
        following, self._next_sequence = self._next_sequence, None
        return following

    def closing_ids(self) -> list[int]:
        """Tokens to force on the model now: the end of its reasoning, once, when the budget is spent.

        A bound answer's constraint sees to it by itself.
        """
        if self._is_closed or self._prepared.is_bound or not self._parser.is_reasoning:
            return []
        if not self._is_budget_spent():
            return []
        self._is_closed = self._parser.expects_close = True
        return self._prepared.closing_ids

    def _is_budget_spent(self) -> bool:
        """Shortly before the end of the budget the next end of a sentence will do."""
        budget = self._prepared.budget_tokens
        if budget is None:
            return False
        grace = min(budget // _GRACE_SHARE, _MOST_GRACE_TOKENS)
        ends_sentence = self._said.endswith(_SENTENCE_ENDS)
        return self.num_reasoning_tokens >= (budget - grace if ends_sentence else budget)

    # ---- tokens to deltas

    def _feed_token(self, token_id: int, logprob: EngineLogprob | None) -> list[ChatDelta]:
        self._output_ids.append(token_id)
        self.num_output_tokens += 1
        self.num_reasoning_tokens += self._parser.is_reasoning
        if self._are_of_reasoning != self._parser.is_reasoning:
            self._are_of_reasoning = self._parser.is_reasoning
            self._logprobs = []  # a mark's, or the space before it: no text of either channel
        if logprob is not None and token_id not in self._tokenizer.mark_signs:
            self._logprobs.append(self._in_words(token_id, logprob))
        return self._out(self._parser.feed(self._detokenizer.feed([token_id])))

    def _out(self, deltas: list[ChatDelta]) -> list[ChatDelta]:
        """The deltas, the first of their text with the log probabilities that are due."""
        for place, delta in enumerate(deltas):
            if isinstance(delta, ReasoningDelta | ContentDelta):
                self._said = delta.text
                if due := self._take_logprobs(delta):
                    deltas[place] = msgspec.structs.replace(delta, logprobs=due)
        return deltas

    def _take_logprobs(self, delta: ReasoningDelta | ContentDelta) -> tuple[TokenLogprob, ...]:
        """Those of the delta's own text: not of the other channel, nor of space left out before it."""
        due, self._logprobs = self._logprobs, []
        if isinstance(delta, ReasoningDelta) != self._are_of_reasoning:
            return ()
        is_left_out = not delta.text[:1].isspace()
        return tuple(dropwhile(lambda one: is_left_out and one.drawn.token.isspace(), due))

    def _in_words(self, token_id: int, logprob: EngineLogprob) -> TokenLogprob:
        return TokenLogprob(
            drawn=self._likely(token_id, logprob.logprob),
            top=tuple(self._likely(likely_id, value) for likely_id, value in logprob.top),
        )

    def _likely(self, token_id: int, logprob: float) -> LikelyToken:
        token_bytes = self._tokenizer.bytes_of(token_id)
        return LikelyToken(
            token=token_bytes.decode(errors="replace"), logprob=logprob, token_bytes=token_bytes
        )

    def _end(self, finish_reason: str | None) -> list[ChatDelta]:
        # The whole of what was said may have been the answer, taken for reasoning without a mark.
        is_whole = finish_reason == "stop" and self._prepared.is_reasoning_implied
        deltas = self._out(self._parser.feed(self._detokenizer.finish()))
        deltas += self._out(self._parser.finish(repeats_unmarked=is_whole))
        reason, detail = self._reason(finish_reason)
        usage = Usage(
            input_uncached_tokens=len(self.sequence.prompt_ids) - self.num_cached_tokens,
            input_cached_tokens=self.num_cached_tokens,
            output_tokens=self.num_output_tokens,
            reasoning_tokens=self.num_reasoning_tokens,
        )
        stop_met = self._parser.stop_met if reason is FinishReason.STOP else ""
        return [*deltas, Finished(reason=reason, usage=usage, detail=detail, stop_sequence=stop_met)]

    def _reason(self, finish_reason: str | None) -> tuple[FinishReason, str]:
        constraint = self._prepared.constraint
        if constraint is not None and constraint.fault:
            return FinishReason.ERROR, f"The answer could not be kept to its form: {constraint.fault}"
        is_cut = finish_reason == "length" and not self._parser.is_done
        if is_cut and (self._parser.has_open_call or not self._parser.num_calls):
            return FinishReason.LENGTH, ""
        return (FinishReason.TOOL_CALLS if self._parser.num_calls else FinishReason.STOP), ""

    # ---- leading on a model that stopped without an answer

    def _bridge(self, output: StepOutput) -> _Bridge | None:
        """What leads a model that stopped without an answer on to one; None when nothing is to be done.

        A led model may take the conclusion of its reasoning for the answer, and stop there.
        """
        is_answered = bool(self._parser.num_calls or self._parser.has_content)
        if not self._prepared.is_led or output.finish_reason != "stop" or is_answered:
            return None
        if self._parser.is_reasoning:
            # With tools at hand the answer may be a call: that is left open. A bound one needs no lead.
            is_free = not self._prepared.tools and not self._prepared.is_bound
            lead_in = self._take_lead_in().lstrip() if is_free else ""
            return _Bridge(self._prepared.closing_ids, self._tokenizer.encode(lead_in))
        if self._prepared.is_bound:
            return None
        lead_in = self._take_lead_in()
        return _Bridge([], self._tokenizer.encode(lead_in)) if lead_in else None

    def _take_lead_in(self) -> str:
        lead_in, self._lead_in = self._lead_in, ""
        return lead_in

    def _go_on(self, bridge: _Bridge) -> list[ChatDelta]:
        """Another sequence goes on after the bridge: a stop token ended the first, which is cached still.

        With no room left, the answer ends here.
        """
        self._is_continued = True
        deltas = [delta for token_id in bridge.shown for delta in self._feed_token(token_id, None)]
        if self._prepared.constraint is not None:
            # The engine has let go of it with the first sequence, and never sees these tokens drawn.
            self._prepared.constraint.accept(bridge.shown)
        self._output_ids += bridge.hidden
        self.num_output_tokens += len(bridge.hidden)
        room = self.sequence.max_tokens - self.num_output_tokens
        if room < 1:
            return [*deltas, *self._end("length")]
        prompt_ids = self.sequence.prompt_ids + self._output_ids
        self._next_sequence = replace(self.sequence, prompt_ids=prompt_ids, max_tokens=room)
        return deltas


def _answered_calls(request: ChatRequest) -> Sequence[tool_calls.Call]:
    """The calls of the running turn, whose results stand after the last user message."""
    calls: list[tool_calls.Call] = []
    for message in reversed(request.messages):
        if message.role is Role.USER:
            break
        calls += [tool_calls.as_written(call.name, call.arguments) for call in message.tool_calls]
    return calls
