"""`python -m inference.worker --model NAME`: the process around the service."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from inference import engine, registry
from inference.checkpoints.gguf_file import BadModelFile
from inference.constraints import building
from inference.request_queue.messages import HEARTBEAT_S, WorkerState
from inference.request_queue.redis_streams import RedisTransport
from inference.request_queue.transport import TransportLost, WorkerTransport
from inference.tokenizer.chat_template import TemplateRefused
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker import EXIT_BAD_SETTING, defaults
from inference.worker.defaults import Defaults
from inference.worker.service import Service
from inference.worker.vitals import Vitals

logger = logging.getLogger("inference.worker")

_DEFAULT_MODEL = "qwen2.5-coder-1.5b"
_WHEN_OUT_OF_MEMORY = "Choose a smaller model, give --context-tokens, or free memory on this machine."
_LEAVE_S = 2.0


def main() -> int:
    options = _parse_options()
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)-7s %(name)s %(message)s"
    )
    try:
        file = options.file or _find(options.model, options.models_dir)
        return asyncio.run(_run(options, file))
    except (registry.RegistryError, BadModelFile, TemplateRefused, OSError) as error:
        logger.error("the model %s cannot be served: %s", options.model, error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        logger.error("%s does not fit into memory: %s. %s", options.model, error, _WHEN_OUT_OF_MEMORY)
    return EXIT_BAD_SETTING


def _parse_options() -> argparse.Namespace:
    var = Path(os.environ.get("VAR_DIR", "var"))
    parser = argparse.ArgumentParser(prog="inference.worker", description=__doc__)
    parser.add_argument(
        "--model",
        default=os.environ.get("MODEL", _DEFAULT_MODEL),
        help="name, GGUF file or checkpoint folder",
    )
    parser.add_argument(
        "--file", type=Path, help="the model's file or folder; default: the registry's, in --models-dir"
    )
    parser.add_argument("--models-dir", type=Path, default=os.environ.get("MODELS_DIR", var / "models"))
    parser.add_argument(
        "--redis-url", default=os.environ.get("REDIS_URL") or f"unix://{(var / 'redis.sock').absolute()}?db=0"
    )
    parser.add_argument("--threads", type=_at_least(1), help="cores to compute on; by default all")
    parser.add_argument(
        "--context-tokens", type=_at_least(2), help="at most the model's own, which is the default"
    )
    parser.add_argument(
        "--kv-dtype",
        choices=("full", "fp8"),
        default="full",
        help="keep keys and values as computed, or in half the memory",
    )
    parser.add_argument(
        "--no-speculation", action="store_true", help="check no guessed tokens along with the next one"
    )
    parser.add_argument("--drain-s", type=float, default=4.0, help="time for answers at hand after SIGTERM")
    return parser.parse_args()


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return parse


def _find(model: str, models_dir: Path) -> Path:
    """The file of a model of the registry, or the file or checkpoint folder that was named by its path."""
    if given := registry.path_of(model):
        return given
    path = registry.entry(model).path(models_dir)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: run `python manage.py models pull {model}`")
    return path


def _is_out_of_memory(error: Exception) -> bool:
    """Python's own, or what torch makes of a refused allocation: a plain RuntimeError."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


async def _run(options: argparse.Namespace, file: Path) -> int:
    vitals = Vitals(model=registry.served_name(options.model))
    transport = RedisTransport(options.redis_url)
    stopping = _on_signals()
    beating = asyncio.create_task(_beat(transport, vitals))
    try:
        return await _serve(options, file, vitals=vitals, transport=transport, stopping=stopping)
    finally:
        beating.cancel()
        with suppress(TransportLost, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await transport.leave(vitals.heartbeat())
        await transport.aclose()
        logger.info("worker %s ended", vitals.worker_id)


async def _serve(
    options: argparse.Namespace,
    file: Path,
    *,
    vitals: Vitals,
    transport: WorkerTransport,
    stopping: asyncio.Event,
) -> int:
    logger.info("worker %s (pid %d) loads %s", vitals.worker_id, os.getpid(), file)
    (tokenizer, sampling), loaded = await asyncio.gather(
        asyncio.to_thread(_load_words, file),
        asyncio.to_thread(
            engine.load,
            file,
            on_progress=lambda share: setattr(vitals, "progress", share),
            max_context_tokens=options.context_tokens,
            num_threads=options.threads,
            kv_dtype=options.kv_dtype,
            speculates=False if options.no_speculation else None,
        ),
    )
    service = Service(
        loaded,
        transport=transport,
        tokenizer=tokenizer,
        vitals=vitals,
        defaults=sampling,
        drain_s=options.drain_s,
    )
    vitals.state, vitals.progress = WorkerState.READY, 1.0
    with suppress(TransportLost):
        await transport.beat(vitals.heartbeat())
    logger.info("worker %s (pid %d) is ready: %s", vitals.worker_id, os.getpid(), loaded.describe())
    asyncio.create_task(_stop_when(stopping, service))  # noqa: RUF006  # it lives as long as the loop
    return 0 if await service.run() else 1


def _load_words(file: Path) -> tuple[Tokenizer, Defaults]:
    """The model's vocabulary, ready for the first bound answer, and what it samples with unasked."""
    tokenizer = Tokenizer.open(file)
    building.warm_up(tokenizer)
    return tokenizer, defaults.of(file)


async def _beat(transport: WorkerTransport, vitals: Vitals) -> None:
    while True:
        try:
            await transport.beat(vitals.heartbeat())
        except TransportLost:
            logger.warning("no heartbeat: the queue is away")
        await asyncio.sleep(HEARTBEAT_S)


def _on_signals() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT; a second one ends the process on the spot."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopping


async def _stop_when(stopping: asyncio.Event, service: Service) -> None:
    await stopping.wait()
    service.stop()


if __name__ == "__main__":
    sys.exit(main())
