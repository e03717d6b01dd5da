"""Calls bound to a generated set of schemas, on a real model: how many came, and whether each is valid.

python -m inference.bench.constrained --model qwen2.5-coder-1.5b --count 1000
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import jsonschema

from inference import engine as engines
from inference.bench import model_files, schema_set
from inference.constraints import building
from inference.engine import Engine, FinishReason, SamplingParams, Sequence, StepOutput
from inference.parsers.stream import StreamParser
from inference.schema import ChatMessage, ContentDelta, JsonSchema, NamedTool, Role, ToolCallDelta, ToolSpec
from inference.tokenizer.detokenizer import Detokenizer
from inference.tokenizer.tokenizer import Tokenizer

_CONTEXT_TOKENS = 4096
_MAX_TOKENS = 600
_AT_ONCE = 8
_TOOL = "save_record"
_QUESTION = "Make up an example of a record and save it."


class _Asked:
    """One schema's answer on its way through the engine."""

    def __init__(self, number: int, tokenizer: Tokenizer) -> None:
        self.number = number
        self.parameters = schema_set.schema(number)
        self._tokenizer = tokenizer
        # A model that knows no tools is bound to the schema in its answer.
        self._calls = tokenizer.template.knows_tools
        tool = ToolSpec(name=_TOOL, description="Saves a record.", parameters=self.parameters)
        self._tools = (tool,) if self._calls else ()
        prompt = tokenizer.template.render(
            [ChatMessage(role=Role.USER, content=_QUESTION)], tools=self._tools
        )
        self.sequence = Sequence(
            id=f"schema-{number}",
            prompt_ids=tokenizer.encode_prompt(prompt),
            sampling=SamplingParams(temperature=0.7, top_p=0.8, top_k=20, seed=number),
            max_tokens=_MAX_TOKENS,
            stop_ids=tokenizer.stop_ids,
            constraint=building.build(
                tokenizer,
                tools=self._tools,
                tool_choice=NamedTool(_TOOL) if self._calls else "auto",
                response_format=None if self._calls else JsonSchema(schema=self.parameters),
                max_tokens=_MAX_TOKENS,
            ),
        )
        self._token_ids: list[int] = []
        self._finish_reason: FinishReason | None = None

    def feed(self, output: StepOutput) -> bool:
        """Whether that was the end."""
        self._token_ids += output.token_ids
        self._finish_reason = output.finish_reason
        return output.finish_reason is not None

    @property
    def verdict(self) -> str:
        """valid, invalid, or cut: the answer's length was spent before its end."""
        if self._finish_reason == "length":
            return "cut"
        try:
            jsonschema.Draft202012Validator(self.parameters).validate(json.loads(self._written()))
        except (ValueError, jsonschema.ValidationError):
            return "invalid"
        return "valid"

    def _written(self) -> str:
        """The arguments of the one call, or the content; nothing where the tool is another."""
        tokenizer = self._tokenizer
        parser = StreamParser(
            starts_in_reasoning=False, tools=self._tools, style=tokenizer.call_style, marks=tokenizer.marks
        )
        deltas = parser.feed(Detokenizer(tokenizer, shows_marks=True).feed(self._token_ids)) + parser.finish()
        if not self._calls:
            return "".join(delta.text for delta in deltas if isinstance(delta, ContentDelta))
        calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
        is_named = [call.name for call in calls if call.name] == [_TOOL]
        return "".join(call.arguments for call in calls) if is_named else ""


def judge(file: Path, *, first: int, count: int, num_threads: int | None) -> Counter[str]:
    """How many schemas from number `first` on got which verdict; what is not valid is printed."""
    engine = engines.load(
        file, on_progress=lambda share: None, max_context_tokens=_CONTEXT_TOKENS, num_threads=num_threads
    )
    tokenizer = Tokenizer.open(file)
    numbers = iter(range(first, first + count))
    running: dict[str, _Asked] = {}
    verdicts: Counter[str] = Counter()
    began = time.monotonic()
    while True:
        while len(running) < _AT_ONCE and (number := next(numbers, None)) is not None:
            asked = _Asked(number, tokenizer)
            running[asked.sequence.id] = asked
            engine.add(asked.sequence)
        if not running:
            return verdicts
        for asked in _step(engine, running):
            verdicts[asked.verdict] += 1
            if asked.verdict != "valid":
                print(f"schema {asked.number}: {asked.verdict}")
            if (num_done := verdicts.total()) % 50 == 0:
                print(
                    f"{num_done} of {count}, {time.monotonic() - began:.0f} s: {dict(verdicts)}", flush=True
                )


def _step(engine: Engine, running: dict[str, _Asked]) -> list[_Asked]:
    """Those that this step finished."""
    return [
        running.pop(output.sequence_id)
        for output in engine.step()
        if output.sequence_id in running and running[output.sequence_id].feed(output)
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    model_files.add_options(parser)
    parser.add_argument("--model", default=model_files.DEFAULT_MODEL, help="a registry name or a file")
    parser.add_argument("--first", type=int, default=0, help="the number of the first schema")
    parser.add_argument("--count", type=int, default=1000, help="how many schemas")


def run(options: argparse.Namespace) -> int:
    """1 when a call was not valid; one that was cut by the answer's length is counted apart."""
    file = model_files.find(options.model, models_dir=options.models_dir)
    verdicts = judge(file, first=options.first, count=options.count, num_threads=options.threads)
    print(json.dumps(verdicts))
    if options.json:
        options.json.write_text(json.dumps({"model": file.name, "first": options.first, **verdicts}))
    return 1 if verdicts["invalid"] else 0


if __name__ == "__main__":
    own = argparse.ArgumentParser(prog="inference.bench.constrained", description=__doc__)
    add_options(own)
    sys.exit(run(own.parse_args()))
