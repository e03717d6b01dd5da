"""`python -m inference.worker` on a real model, from loading to SIGTERM."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from inference import registry
from inference.backends.base import RequestRejected
from inference.backends.local import LocalBackend
from inference.checkpoints import random_model
from inference.request_queue.messages import WorkerState
from inference.schema import ContentDelta, FinishReason, Sampling, Thinking
from inference.worker import EXIT_BAD_SETTING
from inference.worker import __main__ as worker_process
from tests.backends.asking import ask, collect
from tests.inference.conftest import write_tiny_kimi
from tests.inference_workers import Fleet

pytestmark = pytest.mark.slow

EXACT = Sampling(temperature=0.0, max_tokens=24)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its own Redis, so that what other tests flush is not this worker's heartbeat."""
    fleet = Fleet(tmp_path_factory.mktemp("worker"))
    process = fleet.start()
    yield fleet.redis.url, process
    fleet.stop()


@pytest.fixture
async def backend(worker: tuple[str, subprocess.Popen[bytes]]) -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(redis_url=worker[0], model="smollm2")
    yield backend
    await backend.aclose()


async def test_the_same_question_gets_the_same_answer_and_the_second_from_the_cache(backend: LocalBackend):
    question = "Say hello to Alice, " + "who likes it when people take their time, " * 8 + "please."
    first = await collect(backend, ask(question, sampling=EXACT, id="first"))
    second = await collect(backend, ask(question, sampling=EXACT, id="second"))
    assert first.content
    assert first.content == second.content
    usage, again = first.finished.usage, second.finished.usage
    assert usage.input_cached_tokens == 0
    assert again.input_cached_tokens == 64, "the cache shares whole blocks"
    assert again.input_tokens == usage.input_tokens


async def test_thinking_is_led_and_ends_within_its_budget(backend: LocalBackend):
    thinking = Thinking(enabled=True, budget_tokens=24)
    request = ask("What is 2+2?", thinking=thinking, sampling=Sampling(temperature=0.0, max_tokens=64))
    answer = await collect(backend, request)
    assert answer.reasoning
    assert answer.content
    assert answer.finished.usage.reasoning_tokens <= 24 + 12
    assert "think>" not in answer.content


async def test_several_at_once_are_all_answered(backend: LocalBackend):
    requests = [ask(f"Count to {number}.", sampling=EXACT, id=f"count-{number}") for number in range(4)]
    answers = await asyncio.gather(*(collect(backend, request) for request in requests))
    assert all(answer.content for answer in answers)
    assert {answer.finished.reason for answer in answers} <= {FinishReason.STOP, FinishReason.LENGTH}


async def test_an_abort_frees_the_engine_at_once(backend: LocalBackend):
    stream = backend.stream(ask("Tell a long story.", sampling=Sampling(max_tokens=4000), id="story"))
    while not isinstance(await anext(stream), ContentDelta):
        pass
    closed_at = time.monotonic()
    await stream.aclose()
    assert time.monotonic() - closed_at < 5

    async with asyncio.timeout(5):
        while [one.num_running for one in await backend._transport.workers("smollm2")] != [0]:
            await asyncio.sleep(0.05)


async def test_a_prompt_over_the_context_is_refused_with_numbers(backend: LocalBackend):
    with pytest.raises(RequestRejected, match=r"[\d,]+ tokens long; this model reads at most 8,191"):
        await collect(backend, ask("word " * 9000))


async def test_on_sigterm_it_finishes_what_it_has_and_says_goodbye(
    backend: LocalBackend, worker: tuple[str, subprocess.Popen[bytes]]
):
    _, process = worker
    [before] = await backend._transport.workers("smollm2")
    assert (before.state, before.progress, before.pid) == (WorkerState.READY, 1.0, process.pid)
    stream = backend.stream(ask("Say hello.", sampling=EXACT, id="last"))
    deltas = [await anext(stream)]
    process.send_signal(signal.SIGTERM)
    deltas += [delta async for delta in stream]
    assert deltas[-1].reason in (FinishReason.STOP, FinishReason.LENGTH)  # type: ignore[union-attr]  # it is Finished
    assert await asyncio.to_thread(process.wait, 15) == 0
    assert await backend._transport.workers() == []


async def test_a_folder_with_a_model_of_kimis_shape_in_int4_is_served(
    tmp_path_factory: pytest.TempPathFactory,
):
    folder = tmp_path_factory.mktemp("models") / "Kimi-K2-Tiny"
    random_model.write(
        folder, random_model.k2_like(vocab_size=512, max_position_embeddings=1024), stored="int4"
    )
    write_tiny_kimi(folder)
    fleet = Fleet(tmp_path_factory.mktemp("folder"), model=str(folder))
    try:
        process = await asyncio.to_thread(fleet.start, "--kv-dtype", "fp8", "--no-speculation")
        assert "'kv_dtype': 'float8_e4m3fn'" in fleet.log(process)
        backend = LocalBackend(redis_url=fleet.redis.url, model="Kimi-K2-Tiny")
        [worker] = await backend._transport.workers()
        assert (worker.self_test, worker.num_blocks_used) == ("passed", 0)
        thinking = Thinking(enabled=True)
        answer = await collect(
            backend, ask("hi", thinking=thinking, sampling=Sampling(max_tokens=40, seed=1))
        )
        assert answer.finished.usage.output_tokens > 0
        await backend.aclose()
    finally:
        fleet.stop()


def test_a_model_that_is_damaged_or_unknown_ends_the_worker_with_words_and_a_code_that_stops_restarts(
    tmp_path: Path,
):
    whole = registry.entry("smollm2").path(settings.MODELS_DIR)
    if not whole.exists():
        pytest.skip("the model is not at hand: python manage.py models pull smollm2")
    with whole.open("rb") as file:
        (tmp_path / "truncated.gguf").write_bytes(file.read(40 << 20))
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "config.json").write_text('{"model_type": "mamba", "architectures": ["Mamba"]}')
    (tmp_path / "text.gguf").write_text("this is no model at all")
    workers = {
        name: subprocess.Popen(
            [
                sys.executable,
                "-m",
                "inference.worker",
                "--model",
                str(tmp_path / name),
                "--redis-url",
                "unix:///none",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("truncated.gguf", "unknown", "text.gguf")
    }
    for name, worker in workers.items():
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == EXIT_BAD_SETTING, said
        assert name in said
        assert "cannot be served" in said
        assert "Traceback" not in said


def test_a_model_that_is_not_there_is_named_with_what_to_do(tmp_path: Path):
    command = [sys.executable, "-m", "inference.worker", "--model", "smollm2", "--models-dir", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == EXIT_BAD_SETTING
    assert "python manage.py models pull smollm2" in ended.stderr


@pytest.mark.parametrize("option", ["--context-tokens=1", "--threads=0", "--kv-dtype=int4"])
def test_an_option_that_cannot_be_is_named_and_stops_restarts(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["worker", option])
    with pytest.raises(SystemExit) as end:
        worker_process.main()
    assert end.value.code == EXIT_BAD_SETTING
    assert option.partition("=")[0] in capsys.readouterr().err
