"""The models that a fresh platform knows, and which of them have what they need at this start.

`seed` runs at each start. A row that does not exist is made with the defaults below. Of a row that exists
only `is_configured` is written (is its key, script or model file given now?), and for the provider that
OPENAI_BASE_URL names its address: those come from the environment. Labels, prompts, limits, abilities,
positions and `is_active` belong to the operator: an edit in the admin outlives every restart.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from inference import registry
from webapp.catalog import backends
from webapp.catalog.models import ServedModel

Backend = ServedModel.Backend
Dialect = ServedModel.ThinkingDialect

KIMI_PROMPT = "You are Kimi, an AI assistant created by Moonshot AI."
PLAIN_PROMPT = "You are a helpful assistant."
NO_MODEL = "none"  # MODEL=none: no local model is served
OPENAI_KEY = "OPENAI_API_KEY"
MOONSHOT_KEY = "MOONSHOT_API_KEY"
SMALL_BYTES = 4_000_000_000  # of a model's weights: seven billion parameters of four bits are no longer small


@dataclass(frozen=True, kw_only=True)
class Seed:
    """The defaults of a row, named as its columns are."""

    name: str
    label: str
    backend: str
    upstream_name: str
    position: int
    priority: int = 0
    description: str = ""
    base_url: str = ""
    api_key_env: str = ""
    system_prompt: str = PLAIN_PROMPT
    context_tokens: int = 32_768
    max_output_tokens: int = 8_192
    thinks: bool = True
    calls_tools: bool = True
    is_small: bool = False
    thinking_dialect: str = Dialect.THINK_TAGS


LOCAL = (
    Seed(
        name="qwen2.5-coder-1.5b",
        label="Qwen2.5-Coder 1.5B",
        description="Small and quick, runs on this machine",
        backend=Backend.LOCAL,
        upstream_name="qwen2.5-coder-1.5b",
        position=10,
        system_prompt="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        is_small=True,
    ),
    Seed(
        name="smollm2-135m",
        label="SmolLM2 135M",
        description="Tiny, for trying things out",
        backend=Backend.LOCAL,
        upstream_name="smollm2",
        position=11,
        system_prompt="You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
        context_tokens=8_192,
        max_output_tokens=2_048,
        calls_tools=False,
        is_small=True,
    ),
)


def _kimi(name: str, *, label: str, description: str, position: int, priority: int = 0) -> Seed:
    return Seed(
        name=name,
        label=label,
        description=description,
        backend=Backend.OPENAI_COMPATIBLE,
        upstream_name=name,
        base_url=settings.MOONSHOT_BASE_URL,
        api_key_env=MOONSHOT_KEY,
        position=position,
        priority=priority,
        system_prompt=KIMI_PROMPT,
        context_tokens=262_144,
        max_output_tokens=65_536,
        thinking_dialect=Dialect.ALWAYS,
    )


def seed() -> list[ServedModel]:
    """Bring the catalogue up to the environment; what is offered now. Running it again changes nothing."""
    with transaction.atomic():
        _seed_local()
        for hosted in _hosted():
            _upsert(hosted, is_configured=bool(settings.MOONSHOT_API_KEY))
        _seed_provider()
        _seed_script()
        _seed_upstreams()
    return list(ServedModel.objects.offered())


def _seed_local() -> None:
    """A row for each local model known here and for the one that MODEL names; only that one is offered."""
    for row in LOCAL:
        _ensure(row)
    local = ServedModel.objects.filter(backend=Backend.LOCAL)
    served = registry.served_name(settings.MODEL)
    if settings.MODEL != NO_MODEL and not local.filter(upstream_name=served).exists():
        path = registry.path_of(settings.MODEL)
        _ensure(_of_path(path, served) if path else _of_registry(served))
    local.exclude(upstream_name=served).update(is_configured=False)
    local.filter(upstream_name=served).update(is_configured=True)


def _of_path(path: Path, name: str) -> Seed:
    """Defaults for a model that MODEL names by its path; in the API it has no character that URLs mind."""
    return Seed(
        name=re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-") or "local",
        label=name,
        backend=Backend.LOCAL,
        upstream_name=name,
        position=12,
        is_small=_num_bytes(path) < SMALL_BYTES,
    )


def _num_bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _of_registry(name: str) -> Seed:
    """Defaults for a model that an operator added to the registry, else registry.UnknownModel."""
    entry = registry.entry(name)
    return Seed(
        name=name,
        label=entry.label,
        backend=Backend.LOCAL,
        upstream_name=name,
        position=12,
        is_small=entry.size < SMALL_BYTES,
    )


def _hosted() -> tuple[Seed, Seed]:
    return (
        _kimi(
            "kimi-k2-thinking",
            label="Kimi K2 Thinking",
            description="Thinks step by step and uses tools",
            position=1,
        ),
        _kimi(
            "kimi-k2-thinking-turbo",
            label="Kimi K2 Thinking Turbo",
            description="The same model, served faster",
            position=2,
            priority=1,
        ),
    )


def _seed_provider() -> None:
    """The model that OPENAI_BASE_URL and OPENAI_MODEL name; those of earlier starts stay, but unoffered."""
    rows = ServedModel.objects.filter(backend=Backend.OPENAI_COMPATIBLE, api_key_env=OPENAI_KEY)
    rows.exclude(upstream_name=settings.OPENAI_MODEL).update(is_configured=False)
    if not (settings.OPENAI_BASE_URL and settings.OPENAI_MODEL):
        rows.update(is_configured=False)
        return
    if not rows.filter(upstream_name=settings.OPENAI_MODEL).exists():
        _ensure(_provider(settings.OPENAI_MODEL))
    rows.filter(upstream_name=settings.OPENAI_MODEL).update(
        is_configured=True, base_url=settings.OPENAI_BASE_URL
    )


def _provider(upstream_name: str) -> Seed:
    """Defaults for a provider's model, under the provider's own name unless another row bears it already."""
    is_taken = ServedModel.objects.filter(name=upstream_name).exists()
    always_thinks = "thinking" in upstream_name.lower()
    is_kimi = "kimi" in upstream_name.lower()
    return Seed(
        name=f"{upstream_name}@provider" if is_taken else upstream_name,
        label=upstream_name.rpartition("/")[2],
        backend=Backend.OPENAI_COMPATIBLE,
        upstream_name=upstream_name,
        base_url=settings.OPENAI_BASE_URL,
        api_key_env=OPENAI_KEY,
        position=5,
        system_prompt=KIMI_PROMPT if is_kimi else PLAIN_PROMPT,
        context_tokens=262_144 if is_kimi else 32_768,
        max_output_tokens=65_536 if is_kimi else 8_192,
        thinking_dialect=Dialect.ALWAYS if always_thinks else Dialect.THINK_TAGS,
    )


def _seed_script() -> None:
    script = Seed(
        name="scripted",
        label="Scripted",
        description="Plays a script: for demos and tests",
        backend=Backend.SCRIPTED,
        upstream_name="scripted",
        position=90,
    )
    rows = ServedModel.objects.filter(backend=Backend.SCRIPTED)
    if settings.SCRIPT_FILE:
        _ensure(script)
    rows.update(is_configured=bool(settings.SCRIPT_FILE))


def _seed_upstreams() -> None:
    """A model whose own backend lacks something is on offer all the same if another serves it."""
    for model in ServedModel.objects.exclude(more_upstreams=[]).filter(is_configured=False):
        if any(backends.is_configured(upstream) for upstream in backends.upstreams_of(model)):
            ServedModel.objects.filter(pk=model.pk).update(is_configured=True)


def _upsert(row: Seed, *, is_configured: bool) -> None:
    _ensure(row)
    ServedModel.objects.filter(name=row.name).update(is_configured=is_configured)


def _ensure(row: Seed) -> None:
    ServedModel.objects.get_or_create(name=row.name, defaults=asdict(row))
