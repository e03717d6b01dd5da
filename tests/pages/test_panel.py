"""What stands beside a conversation: its sources, its files, what runs of them; and under which terms."""

import json
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat import previews, quoting, workspaces
from chat.models import Conversation, Passage
from tests.pages import scenes
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel


@pytest.fixture
def folder(conversation: Conversation, settings: Settings, tmp_path: Path) -> Conversation:
    """The conversation with a page of two files in its work folder."""
    settings.VAR_DIR = str(tmp_path)
    workspaces.put(conversation, "site/index.html", b"<!doctype html><html><head><title>x</title>")
    workspaces.put(conversation, "site/app.js", b"1")
    return conversation


# ---- sources


def test_the_sources_stand_with_what_was_read_and_what_the_check_found(
    alices_client: Client, alice: User, scripted_model: ServedModel
) -> None:
    turn = scenes.cited(alice)
    page = alices_client.get(f"/turns/{turn.pk}/sources/").content.decode()
    assert (
        page.index("Cited")
        < page.index("thelancet.com")
        < page.index("Read, not cited")
        < page.index("plan.pdf")
    )
    assert "It says what the answer says" in page
    assert (
        "<mark>The authors only considered the summer of 2015" in page
        or "<mark>only considered the summer of 2015</mark>" in page
    )
    assert Passage.objects.get(turn=turn, number=1).sha256 in page
    assert f"/turns/{turn.pk}/graph/" in page
    kept = alices_client.get(f"/turns/{turn.pk}/graph/").json()["citations"]
    assert [citation["number"] for citation in kept] == [1, 2, 3]


def test_a_passage_that_was_altered_since_says_so(
    alices_client: Client, alice: User, scripted_model: ServedModel
) -> None:
    turn = scenes.cited(alice)
    Passage.objects.filter(turn=turn, number=1).update(text="Something else.")
    page = alices_client.get(f"/turns/{turn.pk}/sources/").content.decode()
    assert "The text is no longer the one that was read" in page


def test_another_s_sources_are_not_there(
    client: Client, alice: User, bob: User, scripted_model: ServedModel
) -> None:
    client.force_login(bob)
    assert client.get(f"/turns/{scenes.cited(alice).pk}/sources/").status_code == 404


def test_a_source_that_is_no_web_address_is_no_link(
    alices_client: Client, alice: User, scripted_model: ServedModel
) -> None:
    turn = scenes.cited(alice)
    Passage.objects.filter(turn=turn, number=3).update(source="javascript:alert(1)", title="<b>x</b>")
    page = alices_client.get(f"/turns/{turn.pk}/sources/").content.decode()
    assert 'href="javascript' not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ('It says "only considered  the summer of 2015".', "only considered the summer of 2015"),
        ("In 2015, 2,644 deaths would have been avoided.", "Of 6,700 deaths 2,644 could be avoided."),
        ("“树木降低温度” [1]", ""),
        ("Nothing alike here.", ""),
    ],
)
def test_the_words_that_an_answer_stands_on_are_found(sentence: str, words: str) -> None:
    text = "They only considered the\nsummer of 2015. Of 6,700 deaths 2,644 could be avoided. So 2.5 is out."
    found = [" ".join(text[start:end].split()) for start, end in quoting.spans(text, [sentence])]
    assert found == ([words] if words else [])


def test_marked_text_is_escaped() -> None:
    text = "a <b>& the quoted words</b> c"
    assert quoting.marked(text, [(5, 20)]) == "a &lt;b&gt;<mark>&amp; the quoted wo</mark>rds&lt;/b&gt; c"


# ---- pictures


def test_a_plot_stands_in_the_chat_and_not_in_a_fold(
    alices_client: Client, alice: User, scripted_model: ServedModel
) -> None:
    turn = scenes.cited(alice)
    page = alices_client.get(f"/turns/{turn.pk}/").content.decode()
    figure = page[page.index('<div class="figures"') :]
    assert page[: page.index('<div class="figures"')].rstrip().endswith("</details>")
    assert 'alt="deaths by city"' in figure
    address = f"/artifacts/{turn.artifacts.get().pk}/"
    assert f'href="{address}"' in figure
    assert alices_client.get(address)["Content-Type"] == "image/png"


# ---- files and previews


def test_the_files_stand_as_a_tree(alices_client: Client, folder: Conversation) -> None:
    page = alices_client.get(f"/c/{folder.pk}/files/").content.decode()
    assert 'data-fold="folder-site"' in page
    assert f'href="/c/{folder.pk}/preview/site/index.html"' in page


def test_another_s_files_are_not_there(client: Client, bob: User, folder: Conversation) -> None:
    client.force_login(bob)
    for kind in ("preview", "alone", "files"):
        assert client.get(f"/c/{folder.pk}/{kind}/site/index.html").status_code == 404
    assert client.get(f"/c/{folder.pk}/files/").status_code == 404


@pytest.fixture
def token(alices_client: Client, folder: Conversation) -> str:
    return previews.token(folder, session_key=alices_client.session.session_key)


def test_a_frame_is_told_all_that_it_may_not(client: Client, token: str) -> None:
    answer = client.get(f"/preview/{token}/site/index.html")
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert policy["sandbox"] == "allow-scripts allow-pointer-lock"
    for name in ("default-src", "connect-src", "frame-src", "object-src", "form-action", "base-uri"):
        assert policy[name] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert answer["Connection-Allowlist"] == "(response-origin)"
    assert "Set-Cookie" not in answer
    assert not answer.cookies
    own = f"testserver/preview/{token}"
    for source in policy["script-src"].split():
        assert source.startswith(("'unsafe-", "blob:", own, "testserver/preview/lib/"))


def test_a_page_gets_its_libraries_before_its_own_scripts(client: Client, token: str) -> None:
    page = client.get(f"/preview/{token}/site/index.html").content.decode()
    start = page.index("<head>") + len("<head>")
    assert page[start:].startswith('<script type="importmap">')
    names = json.loads(page[start:].split(">", 1)[1].split("<", 1)[0])["imports"]
    for name in (
        "react",
        "react-dom/client",
        "three",
        "three/addons/controls/OrbitControls.js",
        "chart.js/auto",
    ):
        answer = client.get(names[name].removeprefix("http://testserver"))
        assert answer["Content-Type"].startswith("text/javascript")
        assert len(answer.content) > 300
    assert client.get("/preview/lib/../settings.py").status_code == 404


def test_what_a_frame_asks_for_ends_with_its_token(
    client: Client,
    alices_client: Client,
    alice: User,
    folder: Conversation,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = f"/preview/{token}/site/app.js"
    assert client.get(address).content == b"1"
    assert client.get(f"/preview/{token[:-1]}x/site/app.js").status_code == 403
    assert client.get(f"/preview/{token}/site/none.js").status_code == 404
    assert client.get(f"/preview/{token}/../../../etc/passwd").status_code in {403, 404}
    assert client.get(address, headers={"Sec-Fetch-Dest": "document"}).status_code == 403
    now = timezone.now().timestamp()
    with monkeypatch.context() as later:
        later.setattr("cryptography.fernet.time.time", lambda: now + previews.TOKEN_LASTS_S + 5)
        assert client.get(address).status_code == 403
    assert client.get(address).status_code == 200
    without = previews.token(folder, session_key=None)
    assert client.get(f"/preview/{without}/site/app.js").status_code == 403
    alices_client.logout()
    assert client.get(address).status_code == 403
    alices_client.force_login(alice)
    assert client.get(address).status_code == 403  # another session is not that one
    token = previews.token(folder, session_key=alices_client.session.session_key)
    address = f"/preview/{token}/site/app.js"
    assert client.get(address).status_code == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client.get(address).status_code == 403


@pytest.mark.parametrize(
    ("path", "content", "shown"),
    [
        ("a.csv", b"x,y\n1,<b>2</b>\n", "<td>&lt;b&gt;2&lt;/b&gt;</td>"),
        ("a.md", b"# T\n\n<script>x</script>", "<h3>T</h3>"),
        ("a.py", b"return '<b>'", "&lt;b&gt;"),
        ("a.bin", b"\0\1", "This kind of file is not shown here"),
        ("a.png", b"\x89PNG", '<img class="preview__picture"'),
        ("<b>.txt", b"x", "&lt;b&gt;.txt"),
    ],
)
def test_other_files_are_shown_for_what_they_are(
    alices_client: Client, folder: Conversation, path: str, content: bytes, shown: str
) -> None:
    workspaces.put(folder, path, content)
    page = alices_client.get(f"/c/{folder.pk}/preview/{path}").content.decode()
    assert shown in page
    assert "<script>x" not in page


def test_a_page_alone_stays_in_its_frame(alices_client: Client, folder: Conversation) -> None:
    answer = alices_client.get(f"/c/{folder.pk}/alone/site/index.html")
    assert 'sandbox="allow-scripts allow-pointer-lock"' in answer.content.decode()
    assert "frame-src 'self'" in answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


def test_a_source_names_each_sentence_that_cites_it(
    alices_client: Client, alice: User, scripted_model: ServedModel
) -> None:
    scene = scenes.Scene(alice).step(
        {"name": "web_search", "arguments": {"query": "trees"}, "result": "found"}
    )
    scene.passage(1, call_id="functions.web_search:10")
    turn = scene.step(text="It was **39 %** of deaths [1]. Others say less.\n\n- In 2015 it was so [1].").turn
    page = alices_client.get(f"/turns/{turn.pk}/sources/").content.decode()
    assert 'data-words="It was 39 % of deaths."' in page
    assert "2 of 2: " in page
    assert "Others say less" not in page
