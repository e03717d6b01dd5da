"""The API's description as a page: for everybody, complete, searchable, without a script."""

import re

from webapp.api.openapi import document
from webapp.api.openapi.document import OPERATIONS


def ids(page: str) -> list[str]:
    return re.findall(r'<article class="endpoint" id="([\w.]+)"', page)


def test_every_endpoint_and_event_is_shown_with_its_examples_to_everybody(client, db):
    answer = client.get("/docs/api/")
    page = answer.content.decode()
    events = list(document.build()["webhooks"])
    assert sorted(ids(page)) == sorted([*(one.id for one in OPERATIONS), *events])
    assert page.count('aria-label="Python"') == page.count('aria-label="curl"') == len(OPERATIONS)
    assert "reasoning_content" in page
    assert "<script" not in page
    assert "style=" not in page


def test_it_is_searched_by_all_words(client, db):
    assert ids(client.get("/docs/api/?q=batch+cancel").content.decode())[0] == "cancelBatch"
    assert "createMessage" in ids(client.get("/docs/api/?q=max_tokens").content.decode())
    nothing = client.get("/docs/api/?q=%3Cscript%3E").content.decode()
    assert not ids(nothing)
    assert "0 endpoints found" in nothing
    assert "<script" not in nothing
