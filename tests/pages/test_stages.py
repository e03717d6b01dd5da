"""The stages: what a frame may do in which a stranger's diagram or page is played."""

import base64
import hashlib
import html
import re
from pathlib import Path

from django.contrib.staticfiles import finders
from django.test import Client

from tests.pages.conftest import MakeTurn


def policy(client: Client, address: str) -> dict[str, str]:
    response = client.get(address)
    assert response.status_code == 200
    assert not response.has_header("X-Frame-Options")  # frame-ancestors says who may
    assert not response.cookies
    directives = response["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (one.partition(" ") for one in directives)}


def sha256(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def test_the_stage_of_diagrams_runs_two_scripts_and_has_no_network(alices_client: Client) -> None:
    found = policy(Client(), "/stage/diagrams/")
    assert (found["sandbox"], found["default-src"], found["frame-ancestors"]) == (
        "allow-scripts",
        "'none'",
        "'self'",
    )
    assert not {"connect-src", "worker-src", "frame-src", "object-src", "media-src"} & found.keys()
    response = Client().get("/stage/diagrams/")
    assert response["Connection-Allowlist"] == "()"
    own = re.search(rb"<script>(.*)</script>", response.content, re.DOTALL)
    page = alices_client.get("/").content.decode()
    library = re.search(r'data-library="/static/([^"]+)"', page)
    assert own is not None
    assert library is not None
    handed_in = Path(str(finders.find(library[1]))).read_bytes()
    assert set(found["script-src"].split()) == {sha256(own[1]), sha256(handed_in)}


def test_the_stage_of_pages_loads_our_libraries_and_nothing_else(client: Client) -> None:
    found = policy(client, "/stage/pages/")
    assert found["sandbox"] == "allow-scripts allow-pointer-lock"
    closed = ("default-src", "connect-src", "frame-src", "object-src", "form-action", "base-uri")
    assert {found[name] for name in closed} == {"'none'"}
    sources = {word for value in found.values() for word in value.split() if "/" in word}
    assert sources == {"testserver/preview/lib/"}
    body = html.unescape(client.get("/stage/pages/").content.decode())
    assert 'src="http://testserver/preview/lib/inside.js"' in body
    assert '"react": "http://testserver/preview/lib/react-' in body


def test_what_a_stage_is_asked_is_not_what_it_shows(client: Client) -> None:
    for address in ("/stage/pages/", "/stage/diagrams/"):
        assert client.get(address + "?page=<script>1</script>").content == client.get(address).content
        assert client.post(address, {"page": "<p>Mine</p>"}).status_code == 405


def test_a_shared_chat_has_what_draws_diagrams(
    alices_client: Client, make_turn: MakeTurn, client: Client
) -> None:
    turn = make_turn("Draw it", "```mermaid\nflowchart LR\n  A --> B\n```")
    page = alices_client.get(f"/c/{turn.conversation_id}/").content.decode()
    assert "<span>mermaid</span>" in page
    assert 'id="diagram-template"' in page
