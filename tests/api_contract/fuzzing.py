"""schemathesis over our own document against a running server: what every answer must be, and how much is
tried.

`python -m tests.api_contract.fuzzing URL KEY [EXAMPLES]` tries more, on a server that may be filled with
rows; the test with CONTRACT_EXAMPLES=200 starts one for it.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Runs last as long as their models take, and nobody drives them here; a trial is sent to a made-up address.
LEFT_OUT = "/events$|/test$"
QUICK, WHOLE = "examples,fuzzing,stateful", "examples,coverage,fuzzing,stateful"


def run(address: str, secret: str, *, num_examples: int, phases: str, folder: Path) -> tuple[int, str]:
    """How it ended, and what it tells. One worker: on Python 3.11 several overrun one another's stacks."""
    command = [str(Path(sys.executable).with_name("schemathesis"))]
    command += ["--config-file", str(HERE / "schemathesis.toml"), "run", f"{address}/v1/openapi.json"]
    command += ["--url", address, "--header", f"Authorization: Bearer {secret}", "--phases", phases]
    command += ["--max-examples", str(num_examples), "--seed", "1", "--generation-deterministic"]
    command += [
        "--exclude-path-regex",
        LEFT_OUT,
        "--request-timeout",
        "60",
        "--no-color",
        "--warnings",
        "off",
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.api_contract.hooks", "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **hooks},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    address, secret, *more = sys.argv[1:]
    num_examples = int(more[0]) if more else 200
    ended, told = run(address, secret, num_examples=num_examples, phases=WHOLE, folder=Path.cwd())
    sys.stdout.write(told)
    sys.exit(ended)
