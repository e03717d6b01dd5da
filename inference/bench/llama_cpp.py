"""llama.cpp as a contender: llama-bench for one stream, llama-server over loopback HTTP for several.

Its programs come from `make bench-peers`; they run with their own defaults but for the number of threads.
"""

import itertools
import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from inference.bench import contender, workload
from inference.bench.contender import ContenderFailed
from inference.bench.workload import Measure

NAME = "llama.cpp"
_PROGRAMS = ("llama-bench", "llama-server", "llama-quantize")
_CONTEXT_TOKENS = 2048
_READY_LIMIT_S = 300.0
_RUN_LIMIT_S = 600.0


def missing(programs: Path) -> str | None:
    """Why llama.cpp cannot be measured, and what to do; None: it can."""
    absent = [name for name in _PROGRAMS if not os.access(programs / name, os.X_OK)]
    return (
        f"{NAME} is missing ({', '.join(absent)} not in {programs}): run `make bench-peers`"
        if absent
        else None
    )


def requantized(path: Path, kind: str, programs: Path) -> Path:
    """The file in another of llama.cpp's formats, made once and kept beside the programs."""
    made = programs.parent / f"{path.stem}-as-{kind.lower()}.gguf"
    if not made.exists():
        part = made.with_suffix(".part")
        run([programs / "llama-quantize", "--allow-requantize", path, part, kind])
        part.rename(made)
    return made


def run(command: Sequence[str | Path], *, limit_s: float = _RUN_LIMIT_S) -> str:
    """The program's standard output. Raises ContenderFailed with the end of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContenderFailed(f"{NAME}: {error}") from error
    if done.returncode:
        raise ContenderFailed(
            f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-500:].strip()}"
        )
    return done.stdout


class LlamaCpp:
    """One model file. The servers stay up, idle, from round to round; llama-bench starts for each sample."""

    measures = frozenset(
        (Measure.DECODE, Measure.PREFILL, Measure.FOUR, Measure.EIGHT, Measure.COLD, Measure.CACHED)
    )

    def __init__(self, path: Path, *, programs: Path, num_threads: int, name: str = NAME) -> None:
        self.name = name
        self.facts = {"file": path.name}
        self._path, self._programs, self._num_threads = path, programs, num_threads
        self._servers: dict[int, _Server] = {}
        for num_streams in (4, 8):
            self._servers[num_streams] = _Server(path, programs, num_threads, num_streams)
        self.load_s = self._servers[4].load_s

    def sample(self, measure: Measure) -> float:
        """As Contender.sample says."""
        match measure:
            case Measure.PREFILL:
                return self._bench("-p", str(workload.PREFILL_TOKENS), "-n", "0")
            case Measure.DECODE:
                depth = str(workload.DECODE_PROMPT_TOKENS)
                return self._bench("-p", "0", "-n", str(workload.DECODE_TOKENS), "-d", depth)
            case Measure.COLD:
                return self._servers[4].first_token_s(is_cached=False)
            case Measure.CACHED:
                return self._servers[4].first_token_s(is_cached=True)
        return self._servers[workload.NUM_STREAMS[measure]].together_speed()

    def peak_memory_bytes(self) -> int:
        """Of the server with four slots."""
        return self._servers[4].peak_memory_bytes()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()

    def _bench(self, *options: str) -> float:
        command: list[str | Path] = [
            self._programs / "llama-bench",
            "-m",
            self._path,
            "-t",
            str(self._num_threads),
        ]
        results = json.loads(run([*command, *options, "-r", "1", "-o", "json"]))
        self.facts["build"] = str(results[0]["build_commit"])
        return float(results[0]["avg_ts"])


class _Server:
    """llama-server with a number of slots, each with its own stretch of context."""

    def __init__(self, path: Path, programs: Path, num_threads: int, num_streams: int) -> None:
        self._num_streams = num_streams
        self._numbers = itertools.count(1000 * num_streams)
        port = _free_port()
        started_at = time.perf_counter()
        self._process = subprocess.Popen(
            [
                *(programs / "llama-server", "-m", path, "--host", "127.0.0.1", "--port", str(port)),
                *("-t", str(num_threads), "-np", str(num_streams), "-c", str(num_streams * _CONTEXT_TOKENS)),
                # It would copy old prompts aside between requests; every prompt here is new.
                *("--cache-ram", "0"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limits = httpx.Limits(max_connections=num_streams)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_RUN_LIMIT_S, limits=limits)
        self._wait_until_ready()
        self.load_s = time.perf_counter() - started_at

    def together_speed(self) -> float:
        """From the first request to the last answer of all."""
        prompts = [self._prompt(workload.TOGETHER_PROMPT_TOKENS) for _ in range(self._num_streams)]
        with ThreadPoolExecutor(self._num_streams) as pool:
            started_at = time.perf_counter()
            answers = list(pool.map(lambda ids: self._complete(ids, workload.TOGETHER_TOKENS), prompts))
            elapsed_s = time.perf_counter() - started_at
        return float(sum(answer["tokens_predicted"] for answer in answers)) / elapsed_s

    def first_token_s(self, *, is_cached: bool) -> float:
        """A prompt's first token; `is_cached`: nine tenths of it were asked before."""
        prompt_ids = self._prompt(workload.FIRST_TOKEN_PROMPT)
        if is_cached:
            self._complete(prompt_ids, 1)
            rest = workload.FIRST_TOKEN_PROMPT - workload.FIRST_TOKEN_CACHED
            prompt_ids = prompt_ids[: workload.FIRST_TOKEN_CACHED] + self._prompt(rest)
        started_at = time.perf_counter()
        answer = self._complete(prompt_ids, 1)
        elapsed_s = time.perf_counter() - started_at
        num_cached = len(prompt_ids) - answer["timings"]["prompt_n"]
        if (num_cached >= workload.FIRST_TOKEN_CACHED) != is_cached:
            raise ContenderFailed(f"{NAME}: {num_cached} of {len(prompt_ids)} tokens were cached")
        return elapsed_s

    def peak_memory_bytes(self) -> int:
        return contender.peak_memory_bytes(self._process.pid)

    def close(self) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def _prompt(self, num_tokens: int) -> list[int]:
        return workload.prompt(next(self._numbers), num_tokens)

    def _complete(self, prompt_ids: list[int], num_tokens: int) -> Any:
        asked = {"prompt": prompt_ids, "n_predict": num_tokens, "temperature": 0, "ignore_eos": True}
        try:
            reply = self._client.post("/completion", json=asked | {"cache_prompt": True})
            reply.raise_for_status()
        except httpx.HTTPError as error:
            raise ContenderFailed(f"{NAME}: llama-server: {error}") from error
        return reply.json()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ContenderFailed(f"{NAME}: llama-server ended with {self._process.returncode} at start")
            try:
                if self._client.get("/health").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        self.close()
        raise ContenderFailed(f"{NAME}: llama-server was not ready after {_READY_LIMIT_S:.0f} s")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
