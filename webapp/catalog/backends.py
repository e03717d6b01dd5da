"""From a row of the catalogue to the backend that serves it: the one place that knows what each needs."""

from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError

from inference.backends.base import BackendUnavailable, ChatBackend
from inference.backends.scripted import ScriptedBackend
from webapp import environment
from webapp.catalog.models import KEY_VARIABLE, ServedModel

# Ollama, llama.cpp, vLLM and SGLang ask for no key; the client wants some text in its place.
NO_KEY = "none-needed"
OPTIONAL_KEYS = {"", "OPENAI_API_KEY"}

Recipe = tuple[int, str, str, str, str, str, str]


def backend_for(model: ServedModel) -> ChatBackend:
    """A new backend for this model; the caller `aclose`s it, in the event loop that used it.

    Raises BackendUnavailable, saying what to set, when its key, script or address is missing.
    """
    # A client is imported with its first use: a site with a local model alone never loads the provider's.
    if model.backend == ServedModel.Backend.LOCAL:
        from inference.backends.local import LocalBackend

        return LocalBackend(redis_url=settings.REDIS_URL, model=model.upstream_name)
    if model.backend == ServedModel.Backend.SCRIPTED:
        return ScriptedBackend.from_file(_script_file(model))
    from inference.backends.openai_compatible import OpenAICompatibleBackend

    return OpenAICompatibleBackend(
        base_url=_base_url(model),
        api_key=_api_key(model),
        thinking_dialect=model.thinking_dialect,
        output_parser="ours" if model.output_parser == ServedModel.OutputParser.OURS else "theirs",
    )


def load_clients() -> None:
    """Import what the models on offer are reached by, before anybody waits for it."""
    offered = ServedModel.objects.offered()
    if offered.filter(backend=ServedModel.Backend.OPENAI_COMPATIBLE).exists():
        from inference.backends import openai_compatible

        openai_compatible.trusted()


def recipe_of(model: ServedModel) -> Recipe:
    """Backends of one recipe are the same: after an edit in the admin it is another."""
    return (
        model.pk,
        model.backend,
        model.upstream_name,
        model.base_url,
        model.api_key_env,
        model.thinking_dialect,
        model.output_parser,
    )


def _script_file(model: ServedModel) -> Path:
    if not settings.SCRIPT_FILE:
        raise BackendUnavailable(f"{model.label} has no script: start the platform with SCRIPT_FILE=path.")
    return Path(settings.SCRIPT_FILE)


def _base_url(model: ServedModel) -> str:
    if not model.base_url:
        raise BackendUnavailable(f"{model.label} has no address: an administrator can set its base URL.")
    return model.base_url


def _api_key(model: ServedModel) -> str:
    name = model.api_key_env
    if key := provider_key(name):
        return key
    if name in OPTIONAL_KEYS:
        return NO_KEY
    raise BackendUnavailable(f"{model.label} needs a key: start the platform with {name}=…")


def provider_key(name: str) -> str:
    """The key that this variable holds, or the empty text. Other variables than keys are not read."""
    try:
        KEY_VARIABLE(name)
    except ValidationError:
        return ""
    return str(getattr(settings, name, "")) or environment.text(name)
