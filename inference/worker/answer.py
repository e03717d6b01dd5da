"""One request's way through the model: messages to a sequence, its tokens to deltas. No queue, no clock."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from inference.engine import SamplingParams, StepOutput
from inference.engine import Sequence as EngineSequence
from inference.parsers import reasoning, tool_calls
from inference.parsers.stream import StreamParser
from inference.schema import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    Finished,
    FinishReason,
    Role,
    Sampling,
    Usage,
)
from inference.tokenizer.chat_template import Prompt
from inference.tokenizer.detokenizer import Detokenizer
from inference.tokenizer.tokenizer import Tokenizer

# What a request that does not say gets.
_TEMPERATURE, _TOP_P, _TOP_K = 0.7, 0.8, 20
# A led model is a small one: it reasons straighter when it strays less.
_LED_TEMPERATURE = 0.3
# A led model that is given no budget thinks for so long at most: left alone, a small one may never end.
_LED_BUDGET_TOKENS = 2048
# The part of the answer's length that a led model may spend on reasoning: the rest is to answer with.
_LED_SHARE = 0.75


class PromptRefused(Exception):
    """The request cannot be answered as it is; the text tells the user why, with numbers."""


class _Bridge(NamedTuple):
    """Text put into the model's mouth: `shown` is read like its own, `hidden` only leads on."""

    shown: str
    hidden: str


class Answer:
    """The state of one answer: run `sequence` and `feed` each of its outputs, in order."""

    def __init__(self, request: ChatRequest, *, tokenizer: Tokenizer, context_tokens: int) -> None:
        """Raises PromptRefused, and TemplateRefused for messages that the model's template cannot put."""
        template = tokenizer.template
        tools = request.tools if request.tool_choice != "none" and template.knows_tools else ()
        self._is_led = request.thinking.enabled and not template.thinks
        messages, opening = _lead(request.messages) if self._is_led else (request.messages, "")
        prompt = template.render(messages, tools=tools, thinking=request.thinking.enabled).with_text(opening)
        self._encode = tokenizer.encode
        self._detokenizer = Detokenizer(tokenizer)
        self._parser = StreamParser(
            starts_in_reasoning=reasoning.is_open(prompt.text),
            tools=[tool.name for tool in tools],
            num_calls_before=sum(len(message.tool_calls) for message in request.messages),
            answered=_answered_calls(request) if self._is_led else (),
            stop=request.sampling.stop,
        )
        self.sequence = _sequence(
            request,
            prompt,
            temperature=_LED_TEMPERATURE if self._is_led else _TEMPERATURE,
            tokenizer=tokenizer,
            context_tokens=context_tokens,
        )
        self._budget_tokens = self._budget(request)
        self._output_ids: list[int] = []
        self._next_sequence: EngineSequence | None = None
        self._has_tools = bool(tools)
        self._lead_in = reasoning.lead_in(request.messages)
        self._is_closed = False  # the end of the reasoning was forced
        self._is_continued = False  # another sequence than the first is being run
        self.num_output_tokens = 0
        self.num_reasoning_tokens = 0
        self.num_cached_tokens = 0

    def feed(self, output: StepOutput) -> list[ChatDelta]:
        """The new deltas; `Finished` is the last one of the last output."""
        if not self._is_continued:
            self.num_cached_tokens = output.num_cached_tokens
        deltas: list[ChatDelta] = []
        for token_id in output.token_ids:
            deltas += self._feed_token(token_id)
            if self._parser.is_done:
                break
        if bridge := self._bridge(output):
            return deltas + self._go_on(bridge)
        if self._parser.is_done or output.finish_reason:
            deltas += self._end(output.finish_reason)
        return deltas

    def take_next_sequence(self) -> EngineSequence | None:
        """The sequence that goes on where the last one ended; to be added to the engine, once."""
        following, self._next_sequence = self._next_sequence, None
        return following

    def _feed_token(self, token_id: int) -> list[ChatDelta]:
        self._output_ids.append(token_id)
        self.num_output_tokens += 1
        self.num_reasoning_tokens += self._parser.is_reasoning
        return self._parser.feed(self._detokenizer.feed([token_id]))

    def _bridge(self, output: StepOutput) -> _Bridge | None:
        """What leads a model that stopped without an answer on to one; None when nothing is to be done.

        A led model may take the conclusion of its reasoning for the answer, and stop there.
        """
        is_answered = bool(self._parser.num_calls or self._parser.has_content)
        if not self._is_led or output.finish_reason != "stop" or is_answered:
            return None
        if self._parser.is_reasoning:
            # With tools at hand the answer may be a call: that is left open.
            return _Bridge(reasoning.CLOSING, "" if self._has_tools else self._take_lead_in().lstrip())
        lead_in = self._take_lead_in()
        return _Bridge("", lead_in) if lead_in else None

    def _take_lead_in(self) -> str:
        lead_in, self._lead_in = self._lead_in, ""
        return lead_in

    def _go_on(self, bridge: _Bridge) -> list[ChatDelta]:
        """Another sequence goes on after the bridge: a stop token ended the first, which is cached still.

        With no room left, the answer ends here.
        """
        self._is_continued = True
        deltas = [delta for token_id in self._encode(bridge.shown) for delta in self._feed_token(token_id)]
        hidden_ids = self._encode(bridge.hidden)
        self._output_ids += hidden_ids
        self.num_output_tokens += len(hidden_ids)
        room = self.sequence.max_tokens - self.num_output_tokens
        if room < 1:
            return [*deltas, *self._end("length")]
        prompt_ids = self.sequence.prompt_ids + self._output_ids
        self._next_sequence = replace(self.sequence, prompt_ids=prompt_ids, max_tokens=room)
        return deltas

    def closing_ids(self) -> list[int]:
        """Tokens to force on the model now: the end of its reasoning, once, when the budget is spent."""
        if self._is_closed or self._budget_tokens is None or not self._parser.is_reasoning:
            return []
        if self.num_reasoning_tokens < self._budget_tokens:
            return []
        self._is_closed = self._parser.expects_close = True
        return self._encode(reasoning.CLOSING)

    def _budget(self, request: ChatRequest) -> int | None:
        if not self._is_led:
            return request.thinking.budget_tokens
        share = int(self.sequence.max_tokens * _LED_SHARE)
        return max(1, min(share, request.thinking.budget_tokens or _LED_BUDGET_TOKENS))

    def _end(self, finish_reason: str | None) -> list[ChatDelta]:
        deltas = self._parser.feed(self._detokenizer.finish()) + self._parser.finish()
        if self._parser.num_calls:
            reason = FinishReason.TOOL_CALLS
        elif finish_reason == "length" and not self._parser.is_done:
            reason = FinishReason.LENGTH
        else:
            reason = FinishReason.STOP
        usage = Usage(
            input_uncached_tokens=len(self.sequence.prompt_ids) - self.num_cached_tokens,
            input_cached_tokens=self.num_cached_tokens,
            output_tokens=self.num_output_tokens,
            reasoning_tokens=self.num_reasoning_tokens,
        )
        return [*deltas, Finished(reason=reason, usage=usage)]


def _lead(messages: Sequence[ChatMessage]) -> tuple[Sequence[ChatMessage], str]:
    """The messages for a led model, and what its answer is begun with."""
    if messages and messages[-1].role is Role.TOOL:
        return reasoning.lead_from_result(messages), ""
    return reasoning.ask_for(messages), reasoning.OPENING


def _answered_calls(request: ChatRequest) -> list[tool_calls.Call]:
    """The calls of the running turn, whose results stand after the last user message."""
    calls: list[tool_calls.Call] = []
    for message in reversed(request.messages):
        if message.role is Role.USER:
            break
        calls += [tool_calls.as_written(call.name, call.arguments) for call in message.tool_calls]
    return calls


def _sequence(
    request: ChatRequest, prompt: Prompt, *, temperature: float, tokenizer: Tokenizer, context_tokens: int
) -> EngineSequence:
    prompt_ids = tokenizer.encode_prompt(prompt)
    room = context_tokens - len(prompt_ids)
    if room < 1:
        raise PromptRefused(
            f"The conversation is {len(prompt_ids):,} tokens long; this model reads at most"
            f" {context_tokens - 1:,}. Shorten the message or start a new conversation."
        )
    max_tokens = request.sampling.max_tokens
    return EngineSequence(
        id=request.id,
        prompt_ids=prompt_ids,
        sampling=_sampling_params(request.sampling, temperature=temperature),
        max_tokens=room if max_tokens is None else min(room, max_tokens),
        stop_ids=tokenizer.stop_ids,
        salt=request.tenant,
    )


def _sampling_params(sampling: Sampling, *, temperature: float) -> SamplingParams:
    return SamplingParams(
        temperature=_or(sampling.temperature, temperature),
        top_p=_or(sampling.top_p, _TOP_P),
        top_k=int(_or(sampling.top_k, _TOP_K)),
        min_p=_or(sampling.min_p, 0.0),
        presence_penalty=_or(sampling.presence_penalty, 0.0),
        frequency_penalty=_or(sampling.frequency_penalty, 0.0),
        seed=sampling.seed,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
