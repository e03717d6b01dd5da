"""`manage.py models list|pull|inspect|verify|quantize|convert`: local models and tools for their files.

The tools run in a process of their own: they need the engine room's libraries, which the site does without.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference import registry
from inference.checkpoints import BadModelFile, hub
from webapp.management import model_file

TOOLS = {
    "inspect": "shapes, bytes, what fits where (--memory GB)",
    "verify": "checksums where known, every tensor there, every number finite",
    "quantize": "write a BF16 or FP8 checkpoint with INT4 experts (--ignore NAME)",
    "convert": "write an INT4 or FP8 checkpoint in plain floats (--dtype bf16|f16|f32)",
}


class Command(BaseCommand):
    help = "List the local models, fetch one, look into its files or write them in another format."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="names, sizes, licences, and which are at hand")
        pull = actions.add_parser("pull", help="fetch one, checked against the registry or the hub's index")
        pull.add_argument("name", help="a name of the registry, or a hub's owner/repository")
        pull.add_argument("--path", type=Path, help="take this copy of the file instead of downloading")
        pull.add_argument("--revision", help="a repository's branch, tag or commit")
        for name, explanation in TOOLS.items():
            tool = actions.add_parser(name, help=explanation)
            tool.add_argument("model", help="a name of the registry, or a path")
            tool.add_argument("rest", nargs=argparse.REMAINDER, help="what the tool takes besides")

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            if action == "list":
                self._list()
            elif action == "pull":
                self._pull(options["name"], options["path"], options["revision"])
            else:
                if action == "verify":
                    _check_sum(options["model"])
                _run_tool(action, options["model"], options["rest"])
        except (registry.RegistryError, hub.PullFailed, BadModelFile, OSError) as error:
            raise CommandError(str(error)) from error

    def _list(self) -> None:
        models_dir = Path(settings.MODELS_DIR)
        for name, entry in registry.load().items():
            state = "at hand" if registry.is_at_hand(entry, models_dir) else "not fetched"
            self.stdout.write(
                f"{name:<22} {entry.size / 1e6:>8,.0f} MB  {entry.license:<12} {state:<12} {entry.label}"
            )
        for folder in sorted(models_dir.glob("*/config.json")):
            self.stdout.write(f"{folder.parent.name:<22} checkpoint folder{'at hand':>16}")

    def _pull(self, name: str, given_path: Path | None, revision: str | None) -> None:
        models_dir = Path(settings.MODELS_DIR)
        if given_path is None and hub.is_repository(name):
            path = hub.pull(name, models_dir, revision=revision)
        else:
            path = model_file.fetch(name, models_dir=models_dir, given_path=given_path)
        self.stdout.write(str(path))


def _run_tool(action: str, model: str, rest: list[str]) -> None:
    """Raises CommandError where the tool says that it went wrong; its own words are shown already."""
    command = [sys.executable, "-m", "inference.checkpoints", action, str(_path_of(model)), *rest]
    environment = {**os.environ, "PYTHONPATH": str(settings.BASE_DIR)}
    if subprocess.run(command, check=False, env=environment).returncode != 0:
        raise CommandError(f"{action} of {model} failed; the reason stands above.")


def _check_sum(model: str) -> None:
    """Raises CommandError where a model of the registry is another file than the registry names."""
    entry = registry.load().get(model)
    path = _path_of(model)
    if entry is not None and path.exists() and registry.sha256_of(path) != entry.sha256:
        raise CommandError(
            f"{path} is not the file that the registry names: remove it and pull {model} again."
        )


def _path_of(model: str) -> Path:
    """The file or folder that is meant: a name of the registry, a pulled folder's name, or a path."""
    models_dir = Path(settings.MODELS_DIR)
    if model in registry.load():
        return registry.entry(model).path(models_dir).resolve()
    if not Path(model).exists() and (models_dir / model).is_dir():
        return (models_dir / model).resolve()
    return Path(model).resolve()
