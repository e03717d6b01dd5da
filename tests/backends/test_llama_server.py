"""The backend against a real OpenAI-compatible server: llama.cpp's, where it is there (make bench-peers)."""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from inference import registry
from inference.backends.base import RequestRejected
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.schema import ContentDelta, FinishReason, Sampling, ToolSpec
from tests.backends.asking import ask, collect
from tests.services import free_port, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
LONG = "Answer in one sentence. " * 20
CALCULATOR = ToolSpec(name="calculator", description="Computes.", parameters={"type": "object"})


def program() -> str:
    built = ROOT / "var" / "peers" / "bin" / "llama-server"
    found = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server") or (built.exists() and str(built))
    return found or pytest.skip("no llama-server: make bench-peers, or name one in LLAMA_SERVER")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The line of deploy/engines.md, with a tiny model and a smaller context."""
    model = registry.entry("smollm2").path(settings.MODELS_DIR)
    if not model.exists():
        pytest.skip("the model is not at hand: python manage.py models pull smollm2")
    port = free_port()
    options = ["--jinja", "--ctx-size", "2048", "--parallel", "2", "--port", str(port), "--threads", "2"]
    server = subprocess.Popen(
        [program(), "--model", str(model), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/health", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(is_ready, within_s=60, what="llama-server")
        yield url
    finally:
        server.kill()
        server.wait()


@pytest.fixture
async def backend(address: str) -> AsyncIterator[OpenAICompatibleBackend]:
    backend = OpenAICompatibleBackend(base_url=f"{address}/v1", api_key="none-needed")
    yield backend
    await backend.aclose()


async def test_it_answers_and_counts_what_it_had_cached(backend: OpenAICompatibleBackend):
    assert await backend.is_ready()
    request = ask(LONG + "Say hello.", sampling=Sampling(temperature=0.0, max_tokens=8))
    first = await collect(backend, request)
    assert first.content
    assert first.finished.reason in (FinishReason.STOP, FinishReason.LENGTH)
    assert 0 < first.finished.usage.output_tokens <= 8
    again = (await collect(backend, request)).finished.usage
    assert again.input_cached_tokens > 50
    assert again.input_tokens == first.finished.usage.input_tokens


async def test_it_takes_tools(backend: OpenAICompatibleBackend):
    request = ask("What is 2+2?", tools=(CALCULATOR,), sampling=Sampling(temperature=0.0, max_tokens=24))
    assert (await collect(backend, request)).finished.usage.input_tokens > 0


async def test_closing_the_stream_stops_it(backend: OpenAICompatibleBackend, address: str):
    stream = backend.stream(ask("Tell a long story.", sampling=Sampling(max_tokens=1500)))
    while not isinstance(await anext(stream), ContentDelta):
        pass
    await stream.aclose()
    deadline = time.monotonic() + 5
    async with httpx.AsyncClient(trust_env=False) as client:
        while any(slot["is_processing"] for slot in (await client.get(f"{address}/slots")).json()):
            assert time.monotonic() < deadline


async def test_a_prompt_over_its_context_is_refused_in_its_words(backend: OpenAICompatibleBackend):
    with pytest.raises(RequestRejected, match="refused the request: .*context"):
        await collect(backend, ask("word " * 3000))
