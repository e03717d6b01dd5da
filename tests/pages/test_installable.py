"""The site as an app: its manifest, its worker, the page shown offline, and what of it a page says."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from django.contrib.staticfiles import finders
from django.test import Client
from PIL import Image

from webapp.accounts.models import User


def file_of(address: str) -> Path:
    return Path(str(finders.find(urlsplit(address).path.removeprefix("/static/"))))


def test_the_manifest_names_icons_that_are_there_and_addresses_that_answer(alices_client: Client) -> None:
    response = alices_client.get("/manifest.webmanifest")
    assert response["Content-Type"] == "application/manifest+json"
    manifest = response.json()
    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/", "/", "standalone")
    for icon in manifest["icons"]:
        assert "{}x{}".format(*Image.open(file_of(icon["src"])).size) == icon["sizes"]
    assert {"any", "maskable"} == {icon["purpose"] for icon in manifest["icons"]}
    for shortcut in manifest["shortcuts"]:
        assert alices_client.get(shortcut["url"]).status_code == 200
    chinese = alices_client.get("/manifest.webmanifest", headers={"Accept-Language": "zh-hans"}).json()
    assert chinese["shortcuts"][0]["name"] == "新对话"


def test_a_maskable_icon_keeps_the_mark_within_its_circle() -> None:
    icon = Image.open(file_of("/static/app/maskable-512.png")).convert("L")
    outside = [
        icon.getpixel((x, y))
        for x in range(0, 512, 4)
        for y in range(0, 512, 4)
        if (x - 256) ** 2 + (y - 256) ** 2 > 205**2
    ]
    assert set(outside) == {255}


def test_the_worker_keeps_public_files_alone(client: Client) -> None:
    response = client.get("/worker.js")
    assert response["Content-Type"].startswith("text/javascript")
    assert "no-cache" in response["Cache-Control"]
    site = json.loads(re.search(r"const site = (\{.*\});", response.content.decode())[1])  # type: ignore[index]  # it is there
    pages = [address for address in site["shell"] if not address.startswith("/static/")]
    assert pages == ["/offline/"]
    assert all(file_of(address).is_file() for address in site["shell"] if address not in pages)


def test_the_offline_page_is_nobodys(alices_client: Client, client: Client) -> None:
    page = alices_client.get("/offline/")
    assert "No connection to the server" in page.content.decode()
    assert page.content == Client().get("/offline/").content
    assert not page.cookies
    assert "alice" not in page.content.decode()


def test_pages_say_the_colour_of_their_theme(alices_client: Client, alice: User) -> None:
    assert alices_client.get("/").content.decode().count('name="theme-color"') == 2
    alice.theme = "dark"
    alice.save()
    assert '<meta name="theme-color" content="#121212">' in alices_client.get("/").content.decode()
