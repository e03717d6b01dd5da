"""From a request to a sequence: which tools are shown, how the model reasons, what its answer is bound to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inference.constraints import building
from inference.constraints.bound import BoundConstraint, FreeReasoning
from inference.constraints.building import Constraint
from inference.constraints.compiling import BadGrammar
from inference.engine import SamplingParams
from inference.engine import Sequence as EngineSequence
from inference.parsers import reasoning
from inference.schema import ChatMessage, ChatRequest, Role, Sampling, ToolSpec
from inference.tokenizer import begun_answer, marks
from inference.tokenizer.chat_template import Prompt
from inference.tokenizer.marks import SPELLED, CallStyle
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker.defaults import Defaults

# Added to the logit of a token that must not come: more than any logit can make good.
_FORBIDDEN = -1e9


class PromptRefused(Exception):
    """The request cannot be answered as it is; the text tells the user why, with numbers."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """`tools` are those that may be called. `is_led`: the model is led to think, for it does not by itself.
    `reasons_at_once`: its first token is reasoning. `is_reasoning_implied`: and no mark said so.
    `closing_ids` end its reasoning when `budget_tokens` are spent. `has_begun`: its first token goes on with
    content that stands in the prompt.
    """

    sequence: EngineSequence
    tools: tuple[ToolSpec, ...]
    is_led: bool
    reasons_at_once: bool
    is_reasoning_implied: bool
    budget_tokens: int | None
    closing_ids: list[int]
    constraint: Constraint | None
    has_begun: bool

    @property
    def is_bound(self) -> bool:
        """Whether the whole answer is bound, not only its calls."""
        return isinstance(self.constraint, BoundConstraint)


def prepare(
    request: ChatRequest, *, tokenizer: Tokenizer, context_tokens: int, defaults: Defaults
) -> Prepared:
    """Raises PromptRefused, and TemplateRefused for messages that the model's template cannot put."""
    template, thinking = tokenizer.template, request.thinking.enabled
    offered = request.tools if template.knows_tools else ()
    tools = offered if request.tool_choice != "none" else ()
    is_kimi = tokenizer.call_style is CallStyle.KIMI
    begun = request.messages[-1] if request.continues else None
    is_led = thinking and not template.thinks and begun is None
    said = request.messages if begun is None else request.messages[:-1]
    messages, opening = _lead(said, tools) if is_led else (said, "")
    # Kimi keeps sight of tools that it may not call: its calls can be forbidden, and the prompt stays cached.
    shown = offered if is_kimi else tools
    prompt = template.render(messages, tools=shown, thinking=thinking).with_text(opening)
    if begun is not None:
        prompt = begun_answer.put(prompt, begun, template=template)
    has_begun = begun is not None and bool(begun.content)
    sequence = _sequence(request, prompt, tokenizer, context_tokens, defaults, is_led=is_led)
    if shown and not tools:
        sequence = _without_calls(sequence, tokenizer)
    budget_tokens = _budget(request, sequence, defaults, is_led=is_led)
    # What the closing mark stands between, as models of each kind write it.
    closing_ids = tokenizer.encode_trusted(reasoning.CLOSE if is_kimi else reasoning.CLOSING)
    is_open, is_closed = reasoning.is_open(prompt.text), reasoning.is_closed(prompt.text)
    if begun is not None:
        is_open, is_closed = template.thinks and not has_begun, has_begun
    is_implied = template.always_thinks and not is_open and not is_closed
    will_open = is_implied or (template.thinks and thinking and not is_open and not is_closed)
    before = FreeReasoning(
        close=reasoning.CLOSE,
        opening_ids=tokenizer.encode_trusted(reasoning.OPEN) if will_open else (),
        closing_ids=closing_ids,
        budget_tokens=budget_tokens,
        may_stop=is_led,  # it is led on
        begins_at=_early_calls(tokenizer) if tools else frozenset(),
    )
    before_bound = before if is_open or will_open else None
    sequence.constraint = constraint = _constraint(
        request, tools, tokenizer, before_bound, max_tokens=sequence.max_tokens
    )
    return Prepared(
        sequence=sequence,
        tools=tools,
        is_led=is_led,
        reasons_at_once=is_open or is_implied,
        is_reasoning_implied=is_implied,
        budget_tokens=budget_tokens,
        closing_ids=closing_ids,
        constraint=constraint,
        has_begun=has_begun,
    )


def _lead(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> tuple[Sequence[ChatMessage], str]:
    """The messages for a led model, and what its answer is begun with."""
    if messages and messages[-1].role is Role.TOOL:
        return reasoning.lead_from_result(messages, tools=tools), ""
    return reasoning.ask_for(messages, has_tools=bool(tools)), reasoning.OPENING


def _constraint(
    request: ChatRequest,
    tools: Sequence[ToolSpec],
    tokenizer: Tokenizer,
    before: FreeReasoning | None,
    *,
    max_tokens: int,
) -> Constraint | None:
    try:
        return building.build(
            tokenizer,
            tools=tools,
            tool_choice=request.tool_choice,
            response_format=request.response_format,
            reasoning=before,
            max_tokens=max_tokens,
        )
    except BadGrammar as error:
        raise PromptRefused(str(error)) from error
    except RecursionError as error:
        raise PromptRefused("A schema of this request is nested too deeply: make it flatter.") from error


def _early_calls(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens by which a model begins its calls without closing its reasoning."""
    is_kimi = tokenizer.call_style is CallStyle.KIMI
    begin = tokenizer.added.get(SPELLED.section_begin if is_kimi else marks.TOOL_CALL_OPEN)
    return frozenset() if begin is None else frozenset({begin})


def _without_calls(sequence: EngineSequence, tokenizer: Tokenizer) -> EngineSequence:
    begins = (tokenizer.added[SPELLED.section_begin], tokenizer.added[SPELLED.call_begin])
    bias = {**sequence.sampling.logit_bias, **dict.fromkeys(begins, _FORBIDDEN)}
    return replace(sequence, sampling=replace(sequence.sampling, logit_bias=bias))


def _budget(
    request: ChatRequest, sequence: EngineSequence, defaults: Defaults, *, is_led: bool
) -> int | None:
    if not is_led:
        return request.thinking.budget_tokens
    share = int(sequence.max_tokens * defaults.led.share)
    return max(1, min(share, request.thinking.budget_tokens or defaults.led.budget_tokens))


def _sequence(
    request: ChatRequest,
    prompt: Prompt,
    tokenizer: Tokenizer,
    context_tokens: int,
    defaults: Defaults,
    *,
    is_led: bool,
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
        sampling=_sampling_params(request.sampling, defaults, is_led=is_led),
        max_tokens=room if max_tokens is None else min(room, max_tokens),
        stop_ids=tokenizer.stop_ids,
        salt=request.tenant,
        tenant=request.tenant,
        priority=request.priority,
    )


def _sampling_params(asked: Sampling, defaults: Defaults, *, is_led: bool) -> SamplingParams:
    own = defaults.sampling
    temperature = defaults.led.temperature if is_led else own.temperature
    return SamplingParams(
        temperature=_first(asked.temperature, temperature, 1.0),
        top_p=_first(asked.top_p, own.top_p, 1.0),
        top_k=int(_first(asked.top_k, own.top_k, 0)),
        min_p=_first(asked.min_p, own.min_p, 0.0),
        presence_penalty=_first(asked.presence_penalty, 0.0),
        frequency_penalty=_first(asked.frequency_penalty, 0.0),
        repetition_penalty=_first(asked.repetition_penalty, own.repetition_penalty, 1.0),
        logit_bias=asked.logit_bias,
        num_logprobs=asked.logprobs,
        seed=asked.seed,
    )


def _first(*values: float | None) -> float:
    """The first that says something; the last one does."""
    return next(value for value in values if value is not None)
