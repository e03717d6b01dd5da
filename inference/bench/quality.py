"""How near each way of computing comes to fp32 on a fixed text: KL divergence, likeliest tokens, perplexity.

Teacher-forced, in windows that start afresh; only the second half of each is counted, where there is context.
llama.cpp is held against itself in fp32, in the same windows of the same text, by its own llama-perplexity.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor

from inference import registry
from inference.bench import comparison, llama_cpp, model_files, peers, report
from inference.bench.contender import ContenderFailed
from inference.bench.report import Figure
from inference.checkpoints import BadModelFile
from inference.model import sources
from inference.model.decoder import TorchDecoder
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.port import Model, Span
from inference.native.build import BuildFailed
from inference.native.decoder import NativeDecoder
from inference.native.weights import UnsupportedModel
from inference.tokenizer.tokenizer import Tokenizer

TEXT = Path(__file__).with_name("quality.txt")
DEFAULT_MODELS = (model_files.DEFAULT_MODEL, "smollm2")
_WINDOW_TOKENS = 256
_NUM_WINDOWS = 4


@dataclass(frozen=True)
class Cut:
    """How the text is cut: its first whole windows."""

    num_windows: int
    window_tokens: int

    def windows(self, token_ids: list[int]) -> list[list[int]]:
        """Raises ValueError where the text is too short for so many."""
        size = self.window_tokens
        if len(token_ids) < self.num_windows * size:
            raise ValueError(
                f"the text has {len(token_ids)} tokens, {len(token_ids) // size} windows: ask for no more"
            )
        return [token_ids[i * size : (i + 1) * size] for i in range(self.num_windows)]


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Against fp32, mean over positions: KL divergence in nats, the share of equal likeliest tokens; and the
    perplexity of the text.
    """

    divergence: float
    agreement: float
    perplexity: float


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS, help="names, or GGUF files")
    parser.add_argument("--windows", type=int, default=_NUM_WINDOWS, help="windows of the text to compute")
    parser.add_argument("--window-tokens", type=int, default=_WINDOW_TOKENS)
    model_files.add_options(parser)


def run(options: argparse.Namespace) -> int:
    threads = options.threads or psutil.cpu_count(logical=True) or 1
    torch.set_num_threads(threads)
    figures = []
    try:
        for model in options.models:
            path = model_files.find(model, models_dir=options.models_dir)
            found = _measure_model(path, Cut(options.windows, options.window_tokens), num_threads=threads)
            print(f"\n{model}, {options.windows} windows of {options.window_tokens} tokens; ", end="")
            print(report.machine_line())
            print(report.table(found), flush=True)
            figures += [item.named(f"{model}, {item.name}") for item in found]
    except (registry.RegistryError, BadModelFile, OSError, ContenderFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        report.write(options.json, figures=figures, conditions=report.conditions(options.command))
    return 0


def logits(model: Model, token_ids: list[int], *, at_once: int) -> Tensor:
    """Behind the tokens of a new sequence's second half, but its last: fp32 [num_tokens // 2 - 1, vocab]."""
    num_blocks = -(-len(token_ids) // BLOCK_TOKENS)
    pool = KVPool(model.config, num_blocks=num_blocks, dtype=model.kv_dtypes[0])
    rows = []
    for start in range(0, len(token_ids), at_once):
        ids = token_ids[start : start + at_once]
        span = Span(block_ids=list(range(num_blocks)), start=start, num_tokens=len(ids), num_logits=len(ids))
        rows.append(model.forward(ids, [span], pool))
    return torch.cat(rows)[len(token_ids) // 2 : -1]


def nearness(theirs: Tensor, exact: Tensor, following: Tensor) -> Nearness:
    """theirs, exact  logits [num_positions, vocab_size]; following  the text's next tokens [num_positions]"""
    log_p, log_q = exact.double().log_softmax(1), theirs.double().log_softmax(1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    agreement = (theirs.argmax(1) == exact.argmax(1)).double().mean()
    surprise = -log_q.gather(1, following.unsqueeze(1)).mean()
    return Nearness(
        divergence=float(divergence), agreement=float(agreement), perplexity=float(surprise.exp())
    )


def _measure_model(path: Path, cut: Cut, *, num_threads: int) -> list[Figure]:
    token_ids = Tokenizer.open(path).encode(TEXT.read_text(encoding="utf-8"))
    parts = cut.windows(token_ids)
    following = torch.tensor([part[cut.window_tokens // 2 + 1 :] for part in parts]).flatten()
    exact: Tensor | None = None
    figures = []
    for name, make, manners in _ways(path, num_threads):
        comparison.tell(name)
        try:
            model = make()
        except (UnsupportedModel, BuildFailed) as error:
            comparison.tell(f"{name}: not measured: {error}")
            continue
        for manner, at_once in manners.items():
            found = torch.cat([logits(model, part, at_once=at_once or len(part)) for part in parts])
            exact = found if exact is None else exact
            figures += _figures(name + manner, nearness(found, exact, following))
        del model
    return [*figures, *_llama_cpp_figures(path, cut, num_threads=num_threads)]


def _ways(path: Path, num_threads: int) -> Iterator[tuple[str, Callable[[], Model], dict[str, int]]]:
    """Name, maker, and tokens at once (0: all) by manner; first fp32, which the others are held against."""
    source = sources.open_parameters(path)
    yield "fp32", lambda: TorchDecoder(source, precision="fp32"), {"": 0}
    yield "native", lambda: NativeDecoder(source, num_threads=num_threads), {"": 1}
    manners = {", token by token": 1, ", as a prompt": 0}
    yield "torch int4", lambda: TorchDecoder(source, precision="int4"), manners


def _figures(name: str, found: Nearness) -> list[Figure]:
    return [
        Figure(name=f"{name}: KL divergence from fp32", value=1000 * found.divergence, unit="mnats"),
        Figure(name=f"{name}: likeliest token as fp32's", value=100 * found.agreement, unit="%"),
        Figure(name=f"{name}: perplexity", value=found.perplexity, unit=""),
    ]


def _llama_cpp_figures(path: Path, cut: Cut, *, num_threads: int) -> list[Figure]:
    programs = peers.folder() / "bin"
    problem = llama_cpp.missing(programs)
    if problem is not None or path.is_dir():
        comparison.tell(problem or f"{llama_cpp.NAME} reads GGUF files only: not measured")
        return []
    comparison.tell(llama_cpp.NAME)
    exact = llama_cpp.requantized(path, "F32", programs)
    base = exact.with_suffix(".logits")
    command: list[str | Path] = [
        *(programs / "llama-perplexity", "-f", TEXT, "-c", str(cut.window_tokens), "-t", str(num_threads)),
        *("--chunks", str(cut.num_windows), "--kl-divergence-base", base),
    ]
    llama_cpp.run([*command, "-m", exact])
    said = llama_cpp.run([*command, "-m", path, "--kl-divergence"])
    base.unlink()
    return _figures(llama_cpp.NAME, parse_llama_perplexity(said))


def parse_llama_perplexity(said: str) -> Nearness:
    """Raises ContenderFailed where its figures are not found."""
    patterns = {
        "divergence": r"Mean\s+KLD:\s*([-\d.e]+)",
        "agreement": r"Same top p:\s*([\d.]+)",
        "perplexity": r"Mean PPL\(Q\)\s*:\s*([\d.]+)",
    }
    found = {name: re.search(pattern, said) for name, pattern in patterns.items()}
    values = {name: float(match[1]) for name, match in found.items() if match}
    if len(values) < len(patterns):
        raise ContenderFailed(f"llama-perplexity said something else than expected: {said[-300:]}")
    return Nearness(
        divergence=values["divergence"],
        agreement=values["agreement"] / 100,
        perplexity=values["perplexity"],
    )
