"""`manage.py sandbox test|install|install-ocr|install-wasm`: the fence around code that models write, the
packages that it finds, those that read pictures, and a second fence where the first cannot be had."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.documents import sight
from agents.sandbox import packages, tiers
from agents.sandbox.packages import InstallFailed
from agents.sandbox.wasm import bundle
from chat import code_tools

_ACTIONS = (
    "`install` brings 500 MB of wheels, `install-ocr` what reads text on pictures (400 MB), `install-wasm` "
    "what the second sandbox runs in (80 MB)"
)


class Command(BaseCommand):
    help = "The sandbox for code that models write: try it, or install the Python packages that code finds."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "action", choices=("test", "install", "install-ocr", "install-wasm"), help=_ACTIONS
        )

    def handle(self, *, action: str, **_options: Any) -> None:
        if action == "install-wasm":
            self._install_wasm()
        tier = tiers.active(bundle_in=code_tools.wasm_folder())
        if not tier.is_offered:
            raise CommandError(f"Code tools are not offered here. {tier.reason}")
        self.stdout.write(f"{tier.name}: {tier.reason}")
        if action in ("install", "install-ocr") and not tier.has_programs:
            raise CommandError("These packages are for bubblewrap's sandbox: Deno's has its own already.")
        if action == "install":
            self._install()
        if action == "install-ocr":
            self._install_ocr()

    def _install_ocr(self) -> None:
        folder = code_tools.sight_folder()
        if sight.installed(folder):
            self.stdout.write(f"What reads pictures is there already: {folder}")
            return
        self.stdout.write("Bringing rapidocr with its models, onnxruntime and OpenCV.")
        try:
            sight.install(folder)
        except InstallFailed as fault:
            raise CommandError(f"The packages could not be installed: {fault}") from fault
        self.stdout.write(f"They are in {folder}; restart the platform to use them.")

    def _install_wasm(self) -> None:
        folder = code_tools.wasm_folder()
        if not bundle.lacks(folder):
            self.stdout.write(f"Python in WebAssembly is there already: {folder}")
            return
        if not bundle.has_deno():
            raise CommandError("Deno is missing: pip install '.[wasm]'")
        self.stdout.write("Bringing Pyodide and packages of pure Python (48 MB).")
        try:
            bundle.install(folder)
        except bundle.InstallFailed as fault:
            raise CommandError(f"Not installed: {fault}") from fault
        self.stdout.write(f"It is in {folder}; restart the platform to use it.")

    def _install(self) -> None:
        folder = code_tools.packages_folder()
        if packages.installed(folder):
            self.stdout.write(f"The packages are there already: {folder}")
            return
        self.stdout.write(f"Bringing {packages.SHOWN}. This takes some minutes.")
        try:
            packages.install(folder)
        except InstallFailed as fault:
            raise CommandError(f"The packages could not be installed: {fault}") from fault
        self.stdout.write(f"They are in {folder}; restart the platform to use them.")
