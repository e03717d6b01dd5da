"""What a page weighs before anybody has done anything on it."""

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client, override_settings

from tests import bundle
from webapp import bundles

MOST_KB = {"js": 55, "css": 15}
MOST_REQUESTS = 12
BESIDES = 3  # the page itself, its icon, the sprite of icons


@contextmanager
def given(folder: Path) -> Iterator[None]:
    """Pages are made of what was built there."""
    bundles.files.cache_clear()
    with override_settings(BUNDLE_DIR=folder):
        yield
    bundles.files.cache_clear()


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Path]:
    folder = bundle.up_to_date(tmp_path / "built")
    with given(folder):
        yield folder


def test_the_chat_page_is_light(alices_client: Client, built: Path) -> None:
    page = alices_client.get("/").content.decode()
    page = re.sub(r"<template.*?</template>", "", page, flags=re.DOTALL)  # for later
    loaded = set(re.findall(r'(?:src|rel="(?:stylesheet|modulepreload)" href)="/static/([^"]+)"', page))
    weights = {name: len(gzip.compress(_content(name, built), 9)) / 1000 for name in loaded}
    for kind, most in MOST_KB.items():
        assert 0 < sum(weight for name, weight in weights.items() if name.endswith(kind)) <= most, weights
    assert len(loaded) + BESIDES <= MOST_REQUESTS, sorted(loaded)


def test_sources_that_are_newer_are_given_as_they_are(alices_client: Client, tmp_path: Path) -> None:
    with given(tmp_path):
        page = alices_client.get("/").content.decode()
    assert 'src="/static/js/chat.js"' in page
    assert 'href="/static/css/chat-page.css"' in page


def _content(name: str, built: Path) -> bytes:
    path = built / name.removeprefix("built/") if name.startswith("built/") else finders.find(name)
    return Path(str(path)).read_bytes()
