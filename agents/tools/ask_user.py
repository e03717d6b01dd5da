"""Asking the person a question, and waiting for as long as they take."""

from collections.abc import Mapping
from typing import Any

from agents.tool import Decision, ToolContext, ToolResult, Traits, Trust, Waiting, WaitingFor
from inference.schema import ToolSpec

EXPIRES_IN_S = 30 * 86_400.0

DESCRIPTION = """\
Ask the person one question and wait for the answer. Use it only when the task cannot be done well without
something that only they can know or decide; never for what another tool can find out, and never to ask
whether to go on. Give choices where the answer is one of a few."""


class AskUser:
    spec = ToolSpec(
        name="ask_user",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "question": {
                    "type": "string",
                    "description": "The question, complete in itself, in the person's language.",
                    "minLength": 1,
                    "maxLength": 2_000,
                },
                "choices": {
                    "type": "array",
                    "description": "Answers to choose from; the person may also write their own.",
                    "items": {"type": "string", "minLength": 1, "maxLength": 200},
                    "minItems": 2,
                    "maxItems": 8,
                    "uniqueItems": True,
                },
            },
            "required": ["question"],
            "additionalProperties": False,
        },
    )
    traits = Traits(trust=Trust.USER)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        decided = context.decided
        if decided is None or decided.decision is not Decision.ANSWERED:
            return Waiting(
                waiting_for=WaitingFor.ANSWER, prompt=arguments["question"], expires_in_s=EXPIRES_IN_S
            )
        return ToolResult(for_model=decided.answer)

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"person"})
