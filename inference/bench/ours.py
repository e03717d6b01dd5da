"""The engine as a contender: driven as the worker drives it, token ids in and token ids out."""

import itertools
import time
from pathlib import Path
from typing import Any

from inference import engine as engines
from inference.bench import workload
from inference.bench.workload import Measure
from inference.engine import SamplingParams, Sequence


class OurEngine:
    """A model in the engine. Every prompt is a new one: nothing is cached unless it is meant to be."""

    measures = frozenset(
        (Measure.DECODE, Measure.PREFILL, Measure.FOUR, Measure.EIGHT, Measure.COLD, Measure.CACHED)
    )

    def __init__(self, path: Path, *, num_threads: int, precision: Any = None) -> None:
        self._engine = engines.load(
            path,
            on_progress=lambda share: None,
            num_threads=num_threads,
            precision=precision,
            speculates=False,  # the peers compute every token too
        )
        self._numbers = itertools.count()
        self.facts = {"kernel": str(self._engine.describe()["kernel"])}

    def sample(self, measure: Measure) -> float:
        """As Contender.sample says."""
        match measure:
            case Measure.PREFILL:
                return workload.PREFILL_TOKENS / self._first_token_s(self._prompt(workload.PREFILL_TOKENS))
            case Measure.COLD:
                return self._first_token_s(self._prompt(workload.FIRST_TOKEN_PROMPT))
            case Measure.CACHED:
                return self._cached_first_token_s()
            case Measure.DECODE:
                return self._decode_speed()
        return self._together_speed(workload.NUM_STREAMS[measure])

    def _prompt(self, num_tokens: int) -> list[int]:
        return workload.prompt(next(self._numbers), num_tokens)

    def _first_token_s(self, prompt_ids: list[int], *, num_cached: int = 0) -> float:
        self._add("first", prompt_ids, max_tokens=1)
        started_at = time.perf_counter()
        outputs = self._run()
        elapsed_s = time.perf_counter() - started_at
        if outputs[-1].num_cached_tokens != num_cached:
            raise RuntimeError(f"{outputs[-1].num_cached_tokens} tokens were cached, {num_cached} expected")
        return elapsed_s

    def _cached_first_token_s(self) -> float:
        known = self._prompt(workload.FIRST_TOKEN_PROMPT)
        self._first_token_s(known)
        rest = workload.FIRST_TOKEN_PROMPT - workload.FIRST_TOKEN_CACHED
        prompt_ids = known[: workload.FIRST_TOKEN_CACHED] + self._prompt(rest)
        return self._first_token_s(prompt_ids, num_cached=workload.FIRST_TOKEN_CACHED)

    def _decode_speed(self) -> float:
        prompt_ids = self._prompt(workload.DECODE_PROMPT_TOKENS)
        self._add("decode", prompt_ids, max_tokens=1 + workload.DECODE_TOKENS)
        while not self._engine.step():
            pass
        started_at = time.perf_counter()
        self._run()
        return workload.DECODE_TOKENS / (time.perf_counter() - started_at)

    def _together_speed(self, num_streams: int) -> float:
        """From the first request to the last token of all, prompts included."""
        started_at = time.perf_counter()
        for number in range(num_streams):
            prompt_ids = self._prompt(workload.TOGETHER_PROMPT_TOKENS)
            self._add(str(number), prompt_ids, max_tokens=workload.TOGETHER_TOKENS)
        self._run()
        return num_streams * workload.TOGETHER_TOKENS / (time.perf_counter() - started_at)

    def _add(self, name: str, prompt_ids: list[int], *, max_tokens: int) -> None:
        self._engine.add(Sequence(name, prompt_ids, SamplingParams(temperature=0), max_tokens=max_tokens))

    def _run(self) -> list[engines.StepOutput]:
        outputs = []
        while self._engine.has_work():
            outputs += self._engine.step()
        failed = [output.error for output in outputs if output.finish_reason == "error"]
        if failed:
            raise RuntimeError(failed[0])
        return outputs
