"""A deterministic engine behind the worker's seam: it "generates" the raw text of a script, token by token.

Its tokenizer is a real one with one token per byte, so that no model file is needed.
"""

import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from inference.backends.scripted import Script
from inference.engine import PromptTooLong, Sequence, StepOutput
from inference.tokenizer import byte_level
from inference.tokenizer.detokenizer import Detokenizer
from inference.tokenizer.tokenizer import Tokenizer

CONTEXT_TOKENS = 2000
_TEMPLATE = """{% if tools %}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}\
{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}\
{% endfor %}{{ '<|im_start|>assistant\n' }}"""


def tiny_tokenizer() -> Tokenizer:
    letters = list(byte_level.BYTES)
    control = ["<|im_start|>", "<|im_end|>"]
    return Tokenizer.from_metadata(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": letters + control,
            "tokenizer.ggml.token_type": [1] * len(letters) + [3] * len(control),
            "tokenizer.ggml.merges": [],
            "tokenizer.ggml.eos_token_id": len(letters) + 1,
            "tokenizer.chat_template": _TEMPLATE,
        }
    )


@dataclass
class _Played:
    """What is left of one sequence: token ids, pauses in seconds or a fault, each with its channel."""

    sequence: Sequence
    script: deque[tuple[str, int | float | None]]
    num_cached_tokens: int
    forced: deque[int] = field(default_factory=deque)
    resumes_at: float = 0.0
    num_output_tokens: int = 0


class TinyEngine:
    """Plays `script` for every sequence. `step_s` is what a step takes; `crash` makes the next step raise."""

    def __init__(self) -> None:
        self.tokenizer = tiny_tokenizer()
        self.script = Script.of("text: ok")
        self.step_s = 0.001
        self.think_end = "\n</think>\n\n"
        self.aborted: dict[str, float] = {}
        self.prompts: list[str] = []
        self.crash: BaseException | None = None
        self._playing: dict[str, _Played] = {}
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        return {"max_context_tokens": CONTEXT_TOKENS, "kernel": "tiny"}

    def add(self, sequence: Sequence) -> None:
        if len(sequence.prompt_ids) >= CONTEXT_TOKENS:
            raise PromptTooLong("too long")
        with self._lock:
            self._playing[sequence.id] = self._play(sequence)

    def abort(self, sequence_id: str) -> None:
        with self._lock:
            if self._playing.pop(sequence_id, None):
                self.aborted[sequence_id] = time.monotonic()

    def force(self, sequence_id: str, token_ids: list[int]) -> None:
        with self._lock:
            if played := self._playing.get(sequence_id):
                played.forced.extend(token_ids)
                played.script = deque(item for item in played.script if item[0] != "think")

    def has_work(self) -> bool:
        return bool(self._playing)

    def step(self) -> list[StepOutput]:
        time.sleep(self.step_s)
        if self.crash is not None:
            raise self.crash
        with self._lock:
            outputs = [output for played in list(self._playing.values()) if (output := self._next(played))]
            for output in outputs:
                if output.finish_reason:
                    del self._playing[output.sequence_id]
        return outputs

    def _next(self, played: _Played) -> StepOutput | None:
        if (deadline_at := played.sequence.deadline_at) is not None and time.monotonic() >= deadline_at:
            return self._output(played, [], "error")
        if time.monotonic() < played.resumes_at:
            return None
        if played.num_output_tokens == played.sequence.max_tokens:
            return self._output(played, [], "length")
        if played.forced:
            return self._emit(played, played.forced.popleft())
        if not played.script:
            return self._output(played, [], "stop")
        _, item = played.script.popleft()
        if item is None:
            return self._output(played, [], "error")
        if isinstance(item, float):
            played.resumes_at = time.monotonic() + item
            return None
        return self._emit(played, item)

    def _emit(self, played: _Played, token_id: int) -> StepOutput:
        played.num_output_tokens += 1
        return self._output(played, [token_id], None)

    def _output(self, played: _Played, token_ids: list[int], reason: Any) -> StepOutput:
        return StepOutput(
            sequence_id=played.sequence.id,
            token_ids=token_ids,
            finish_reason=reason,
            num_cached_tokens=played.num_cached_tokens,
        )

    def _play(self, sequence: Sequence) -> _Played:
        prompt = self._prompt(sequence.prompt_ids)
        self.prompts.append(prompt)
        question = re.findall(r"user\n(.*?)\n(?:assistant|tool)", prompt, re.DOTALL)[-1]
        # A sequence that goes on after its reasoning is chosen for by what it has said so far.
        asked = prompt if prompt.rpartition("assistant\n")[2] not in ("", "<think>\n") else question
        lines = next(reply.lines for reply in self.script.replies if reply.fits(question=asked, step=1))
        script: deque[tuple[str, int | float | None]] = deque()
        num_cached = 0
        for line in lines:
            verb, _, rest = line.partition(":")
            rest = rest.removeprefix(" ")
            if verb == "cached":
                num_cached = int(rest)
            elif verb != "think" or prompt.endswith("<think>\n"):
                script.extend(self._items(verb, rest))
        return _Played(sequence, script, num_cached)

    def _items(self, verb: str, rest: str) -> list[tuple[str, int | float | None]]:
        if verb in ("stall", "wait"):
            return [("", float(rest or 1e6))]
        if verb == "break":
            return [("", None)]
        raw = rest
        if verb == "think":
            raw = rest + self.think_end
        elif verb == "call":
            name, _, arguments = rest.partition(" ")
            raw = f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'
        return [(verb, token_id) for token_id in self.tokenizer.encode(raw)]

    def _prompt(self, prompt_ids: list[int]) -> str:
        return Detokenizer(self.tokenizer).feed(prompt_ids)
