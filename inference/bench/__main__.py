"""`python -m inference.bench`: load time, prompt and decode tokens/s of a local model, printed as a table."""

import argparse
import logging
import os
import sys
from importlib import metadata
from pathlib import Path

from inference import registry
from inference.bench import report, throughput
from inference.checkpoints.gguf_file import BadModelFile

DEFAULT_MODEL = "qwen2.5-coder-1.5b"
LEAST_DECODE_TOKENS_PER_S = {DEFAULT_MODEL: 15.0}


def main() -> int:
    logging.basicConfig(level="WARNING")
    options = _parse_options()
    try:
        path = _find(options.model, options.models_dir)
        figures, engine = throughput.measure(
            path,
            num_threads=options.threads,
            least_decode=LEAST_DECODE_TOKENS_PER_S.get(options.model),
            on_stage=lambda stage: print(f"… {stage}", file=sys.stderr),
        )
    except (registry.RegistryError, BadModelFile, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    described = engine.describe()
    machine = report.machine()
    print(
        f"{described['model']}, {described['kernel']}; {machine['cpu']}, {machine['cores']} cores, ", end=""
    )
    print(f"load average {machine['load_average']}")
    print(report.table(figures))
    if options.json:
        conditions = {
            "command": "python -m inference.bench " + " ".join(sys.argv[1:]),
            "kernel": described["kernel"],
            "dtype": described["dtype"],
            "torch": metadata.version("torch"),
            "nice": os.nice(0),
        }
        report.write(options.json, figures=figures, conditions=conditions)
    return 0


def _parse_options() -> argparse.Namespace:
    models_dir = os.environ.get("MODELS_DIR", Path(os.environ.get("VAR_DIR", "var")) / "models")
    parser = argparse.ArgumentParser(prog="inference.bench", description=__doc__)
    parser.add_argument(
        "--model", default=os.environ.get("MODEL", DEFAULT_MODEL), help="name, or a GGUF file"
    )
    parser.add_argument("--models-dir", type=Path, default=models_dir)
    parser.add_argument("--threads", type=int, help="cores to compute on; by default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def _find(model: str, models_dir: Path) -> Path:
    if model.endswith(".gguf"):
        return Path(model)
    path = registry.entry(model).path(models_dir)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: run `python manage.py models pull {model}`")
    return path


if __name__ == "__main__":
    sys.exit(main())
