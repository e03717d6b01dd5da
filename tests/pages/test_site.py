"""What holds for every page: the policy, the language, the vendored files, the errors."""

from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client, RequestFactory
from django.utils import translation
from django.views import defaults

from webapp import vendored

PUBLIC = ("/sign-in/", "/sign-up/", "/password/reset/", "/nowhere/")
PRIVATE = ("/", "/settings/", "/settings/keys/", "/sidebar/")


def assert_strict(policy: str) -> None:
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_page_has_the_strict_policy(client: Client, db: None, path: str) -> None:
    answer = client.get(path)
    assert_strict(answer["Content-Security-Policy"])
    assert "<script>" not in answer.content.decode()
    assert " style=" not in answer.content.decode()


@pytest.mark.parametrize("path", PRIVATE)
def test_a_private_page_has_the_strict_policy(alices_client: Client, path: str) -> None:
    answer = alices_client.get(path)
    assert answer.status_code == 200
    assert_strict(answer["Content-Security-Policy"])
    assert "<script>" not in answer.content.decode()
    assert " style=" not in answer.content.decode()


def test_a_page_that_is_not_there_says_so(client: Client, db: None) -> None:
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


@translation.override("en")
def test_the_other_errors_have_their_pages(rf: RequestFactory) -> None:
    request = rf.get("/")
    assert "Something broke on our side" in defaults.server_error(request).content.decode()
    assert "This is not yours to open" in defaults.permission_denied(request, Exception()).content.decode()
    assert "could not read that" in defaults.bad_request(request, Exception()).content.decode()


def test_a_form_without_its_token_is_refused_in_words(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "This form is too old" in answer.content.decode()


def test_the_browser_s_language_is_spoken(client: Client, db: None) -> None:
    page = client.get("/sign-in/", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).content.decode()
    assert 'lang="zh-Hans"' in page
    assert "登录" in page


def test_vendored_files_are_what_was_vendored() -> None:
    assert [fault for folder in vendored.FOLDERS for fault in vendored.faults(folder)] == []


def test_a_changed_or_foreign_vendored_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  a.js\n{'0' * 64}  gone.js\n")
    (tmp_path / "a.js").write_text("changed")
    (tmp_path / "foreign.js").write_text("new")
    assert [fault.removeprefix(f"{tmp_path}/").split()[0] for fault in vendored.faults(tmp_path)] == [
        "a.js",
        "foreign.js",
        "gone.js",
    ]


def test_no_page_asks_another_host_for_anything() -> None:
    folders = [Path(settings.BASE_DIR) / name for name in ("templates", "static/js", "static/css")]
    texts = {path: path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.*")}
    assert [str(path) for path, text in texts.items() if "//cdn" in text or "https://" in text] == []
