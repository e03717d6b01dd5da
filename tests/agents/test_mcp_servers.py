"""The operator's file of MCP servers: what it can say, and that every mistake names its place."""

from pathlib import Path

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from agents.mcp import servers
from agents.mcp.servers import BadServers, Remote
from agents.sandbox.launch import Program
from agents.tool import Approval, Effect
from chat import tool_servers

EXAMPLE = """
[servers.files]
command = ["/usr/bin/python3", "-m", "files_server"]
environment = { TOKEN = "$FILES_TOKEN", PLAIN = "as it is" }
readable = ["/srv/documents"]
writable = ["/srv/drafts"]
effect = "none"
approval = "never"
only = ["read", "delete"]
timeout_s = 20

[servers.files.tools.delete]
effect = "external"
approval = "always"

[servers.search]
url = "https://mcp.example.com/mcp"
headers = { Authorization = "$SEARCH_TOKEN" }
effect = "none"
cache_s = 3600

[servers.ours]
url = "http://10.1.2.3:8000/mcp"
private = true
"""
SECRETS = {"FILES_TOKEN": "one", "SEARCH_TOKEN": "Bearer two"}


def parsed(text: str) -> tuple[servers.Server, ...]:
    return servers.read(text, lookup=SECRETS.__getitem__)


def test_a_file_says_what_runs_where_and_how_far_it_is_trusted() -> None:
    files, ours, search = parsed(EXAMPLE)
    assert isinstance(files.place, Program)
    assert files.place.environment == {"TOKEN": "one", "PLAIN": "as it is"}
    assert files.place.readable == (Path("/srv/documents"),)
    assert not files.place.has_network
    assert files.tools["delete"].effect is Effect.EXTERNAL
    assert files.tools["delete"].approval is Approval.ALWAYS
    assert isinstance(search.place, Remote)
    assert search.place.headers == {"Authorization": "Bearer two"}
    assert search.place.rules.private_hosts == frozenset()
    assert isinstance(ours.place, Remote)
    assert ours.place.rules.private_hosts == {"10.1.2.3:8000"}


def test_each_program_runs_as_a_user_of_its_own_the_same_at_every_start() -> None:
    sections = [f'[servers.s{number}]\ncommand = ["x"]' for number in range(5)]
    first = [server.place.uid for server in parsed("\n".join(sections)) if isinstance(server.place, Program)]
    later = [
        server.place.uid for server in parsed("\n".join(sections[2:])) if isinstance(server.place, Program)
    ]
    assert len(set(first)) == 5
    assert later == first[2:]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[server.x]", "Unknown section 'server'"),
        ("[servers.UP]\ncommand = ['x']", "servers.UP: a server's name"),
        ("[servers.a__b]\ncommand = ['x']", "servers.a__b: a server's name"),
        ("[servers.x]", "servers.x: say either"),
        ("[servers.x]\ncommand = ['x']\nurl = 'https://a.example'", "servers.x: say either"),
        ("[servers.x]\ncommand = 'ls -l'", "servers.x.command must be a list"),
        ("[servers.x]\ncommand = []", "servers.x.command must be a list"),
        ("[servers.x]\ncommand = ['x']\ntrusted = true", "servers.x: unknown key 'trusted'"),
        ("[servers.x]\ncommand = ['x']\nreadable = ['docs']", "servers.x.readable: 'docs' must be"),
        ("[servers.x]\ncommand = ['x']\nnetwork = 'yes'", "servers.x.network must be true or false"),
        ("[servers.x]\ncommand = ['x']\neffect = 'little'", "servers.x.effect must be one of none, local"),
        ("[servers.x]\ncommand = ['x']\ntimeout_s = 0", "servers.x.timeout_s must be a number above zero"),
        ("[servers.x]\ncommand = ['x']\ntimeout_s = true", "servers.x.timeout_s must be a number above zero"),
        ("[servers.x]\ncommand = ['x']\nenvironment = { A = '$NOT_SET' }", "set NOT_SET in the environment"),
        ("[servers.x]\ncommand = ['x']\nheaders = { A = 'b' }", "servers.x.headers belongs to a server with"),
        ("[servers.x]\ncommand = ['x']\neffect = 'external'\ncache_s = 9", "servers.x.cache_s: only tools"),
        ("[servers.x]\ncommand = ['x']\ntools.y.colour = 1", "servers.x.tools.y: unknown key 'colour'"),
        ("[servers.x]\nurl = 'https://a.example'\nnetwork = true", "servers.x.network belongs to a"),
        ("[servers.x]\nurl = 'http://127.0.0.1:9/mcp'", "servers.x.url: .* say `private = true`"),
        ("[servers.x]\nurl = 'file:///etc/passwd'\nprivate = true", "servers.x.url: Only http"),
        ("[servers.x]\nurl = 'http://u:p@10.0.0.1/'\nprivate = true", "servers.x.url: .*user name"),
        ("[servers.x]\ncommand=['x']\nuid=7\n[servers.y]\ncommand=['y']\nuid=7", "servers.y and servers.x"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(BadServers, match=complaint):
        parsed(text)


def test_a_mistake_in_the_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    monkeypatch.setenv("FILES_TOKEN", "one")
    monkeypatch.setenv("SEARCH_TOKEN", "two")
    settings.MCP_SERVERS = EXAMPLE
    assert [server.name for server in tool_servers.configured()] == ["files", "ours", "search"]
    settings.MCP_SERVERS = "servers = ["
    with pytest.raises(ImproperlyConfigured, match="MCP_SERVERS: This is no TOML"):
        apps.get_app_config("chat").ready()
