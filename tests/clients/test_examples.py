"""The examples that the API's page shows run as they are shown."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import TimeoutExpired

import pytest

from tests.clients.conftest import packages
from webapp.api.openapi.document import OPERATIONS
from webapp.api.openapi.examples import ROOT

STORIES = sorted({operation.example for operation in OPERATIONS})
SAYS = {
    "background": "cancelled",
    "chat": "It rains in Paris",
    "compaction": "391",
    "conversations": "The answer is 391.",
    "decisions": "You said blue.",
    "messages": "The answer is 391.",
    "models": "Kimi K2 Thinking",
    "money": "ed25519",
    "responses": "The answer is 391.",
    "runs": "turn.finished",
}


def test_every_example_is_shown_somewhere():
    assert sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir()) == STORIES


def test_the_examples_in_python_run(platform, tmp_path):
    def run(story, folder):
        return platform.run(sys.executable, str(ROOT / story / "example.py"), folder=folder)

    assert not wrong(run, tmp_path)


def test_the_examples_in_javascript_run(platform, tmp_path):
    if shutil.which("node") is None:
        pytest.skip("there is no Node here")
    modules = packages() / "node_modules"

    def run(story, folder):
        (folder / "node_modules").symlink_to(modules)
        shutil.copy(ROOT / story / "example.mjs", folder)
        return platform.run("node", "example.mjs", folder=folder)

    assert not wrong(run, tmp_path)


def test_the_examples_with_curl_run(platform, tmp_path):
    if shutil.which("curl") is None or shutil.which("jq") is None:
        pytest.skip("there is no curl, or no jq, here")

    def run(story, folder):
        platform.run("bash", "-euo", "pipefail", str(ROOT / story / "example.sh"), folder=folder)
        return SAYS.get(story, "")  # it tells less

    assert not wrong(run, tmp_path)


def wrong(run, folder):
    """What each story that failed said; several run at once."""

    def told(story):
        place = folder / story
        place.mkdir()
        try:
            said = run(story, place)
        except (AssertionError, TimeoutExpired) as fault:
            return f"{story}: {fault}"
        return "" if SAYS.get(story, "") in said else f"{story} said {said[-500:]}"

    with ThreadPoolExecutor(3) as threads:
        return [fault for fault in threads.map(told, STORIES) if fault]
