"""The administration's page of tools: what is at hand, what is missing, and what to do."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from agents.corpus.index import Index
from webapp.accounts.models import User
from webapp.catalog.models import SearchEngine

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", "root@example.org", "a long password"))
    return client


def text(client: Client) -> str:
    page = client.get("/admin/tools/")
    assert page.status_code == 200
    return " ".join(page.content.decode().split())


def test_it_shows_the_sandbox_the_engines_and_the_corpora(
    office: Client, index: Index, settings: Any
) -> None:
    settings.CORPUS_INDEX = index.path
    SearchEngine.objects.create(kind="searxng", base_url="https://searx.example", price_per_search="0.005")
    SearchEngine.objects.create(kind="brave", api_key_env="NO_SUCH_API_KEY")
    page = text(office)
    assert "bubblewrap" in page
    assert "SearXNG</th><td>0.005 USD" in page
    assert "Brave</th>" not in page  # it has no key
    assert "local index</th><td>–" in page
    (corpus,) = index.corpora()
    assert f"factbook</th> <td>{corpus.num_documents}</td> <td>{corpus.num_passages}</td>" in page
    assert str(index.path) in page
    for name in ("web_search", "open_page", "find_in_page", "facts_query"):
        assert f"<code>{name}</code>" in page


def test_it_says_what_to_do_where_there_is_nothing(office: Client, tmp_path: Path, settings: Any) -> None:
    settings.CORPUS_INDEX = tmp_path / "none" / "index.sqlite3"
    settings.OPEN_PAGES = False
    page = text(office)
    assert "manage.py corpus install factbook" in page
    assert "manage.py corpus install reranker" in page
    assert "None: nothing can be searched." in page
    assert "OPEN_PAGES is off" in page


def test_it_is_found_from_the_first_page_and_only_by_those_who_may(office: Client, client: Client) -> None:
    assert 'href="/admin/tools/"' in office.get("/admin/").content.decode()
    clerk = User.objects.create_user("clerk", "clerk@example.org", "a long password", is_staff=True)
    client.force_login(clerk)
    assert client.get("/admin/tools/").status_code == 403
    assert "/admin/tools/" not in client.get("/admin/").content.decode()
