"""`python -m inference.checkpoints inspect|verify|quantize|convert`: tools for model files."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from inference.checkpoints import BadModelFile, conversion, inspection, verification
from inference.checkpoints.writing import AlreadyThere


def main(arguments: list[str]) -> int:
    """0 when it went well, 1 with a text on standard error when not."""
    options = _parser().parse_args(arguments)
    try:
        inspection.require_model(options.model)
        answer: int = options.run(options)
        return answer
    except (BadModelFile, AlreadyThere, OSError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.checkpoints", description=__doc__)
    actions = parser.add_subparsers(required=True)
    inspect = actions.add_parser("inspect", help="shapes, bytes, what fits where; config.json is enough")
    inspect.add_argument("--memory", type=float, metavar="GB", help="what fits into so much memory")
    inspect.set_defaults(run=_inspect)
    verify = actions.add_parser("verify", help="checksums where known, every tensor there, nothing infinite")
    verify.set_defaults(run=_verify)
    quantize = actions.add_parser("quantize", help="BF16 or FP8 to INT4 groups of 32, as Kimi K2 has it")
    quantize.add_argument(
        "--ignore",
        action="append",
        metavar="NAME",
        help="a module that stays as it is, or `re:` and a pattern; by default all but routed experts",
    )
    quantize.set_defaults(run=_quantize)
    convert = actions.add_parser("convert", help="INT4 or FP8 to plain floats")
    convert.add_argument("--dtype", choices=conversion.FLOATS, default="bf16")
    convert.set_defaults(run=_convert)
    for action in (inspect, verify, quantize, convert):
        action.add_argument("model", type=Path, help="a .gguf file or a checkpoint folder")
    for action in (quantize, convert):
        action.add_argument("target", type=Path, help="the folder to write")
    return parser


def _inspect(options: argparse.Namespace) -> int:
    for line in inspection.report(options.model, memory_gb=options.memory):
        sys.stdout.write(f"{line}\n")
    return 0


def _verify(options: argparse.Namespace) -> int:
    with _bar("Verifying") as show:
        found = verification.faults(options.model, on_progress=show)
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    sys.stdout.write(f"{options.model}: {f'{len(found)} faults' if found else 'whole and sound'}\n")
    return 1 if found else 0


def _quantize(options: argparse.Namespace) -> int:
    ignore = tuple(options.ignore) if options.ignore else conversion.K2_IGNORE
    with _bar("Quantizing") as show:
        count = conversion.quantize(options.model, options.target, ignore=ignore, on_progress=show)
    sys.stdout.write(f"{options.target}: {count} matrices in INT4\n")
    return 0


def _convert(options: argparse.Namespace) -> int:
    dtype = conversion.FLOATS[options.dtype]
    with _bar("Converting") as show:
        conversion.convert(options.model, options.target, dtype=dtype, on_progress=show)
    sys.stdout.write(f"{options.target}: plain {options.dtype}\n")
    return 0


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    with tqdm(desc=title, unit=" tensors", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
