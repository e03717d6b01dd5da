"""From a row of the catalogue to the backend that serves it: the one place that knows what each needs."""

from operator import itemgetter
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError

from inference import registry
from inference.backends.base import BackendUnavailable, ChatBackend
from inference.backends.routed import Breaker, Route, RoutedBackend
from inference.backends.scripted import ScriptedBackend
from webapp import environment
from webapp.catalog import upstream_health
from webapp.catalog.models import KEY_VARIABLE, Served, ServedModel, Upstream

# Ollama, llama.cpp, vLLM and SGLang ask for no key; the client wants some text in its place.
NO_KEY = "none-needed"
OPTIONAL_KEYS = {"", "OPENAI_API_KEY"}

Recipe = tuple[object, ...]
Reached = ServedModel | Upstream

_breakers: dict[Recipe, Breaker] = {}


def backend_for(model: ServedModel) -> ChatBackend:
    """A new backend for this model, over all its upstreams; the caller `aclose`s it, in the event loop that
    used it.

    Raises BackendUnavailable, saying what to set, when none has its key, script or address.
    """
    if not model.more_upstreams:
        return own_backend_for(model, priority=model.priority)
    routes, lacks = [], []
    every: list[Reached] = [model, *upstreams_of(model)]
    for served in every:
        try:
            routes.append(_route(served, priority=model.priority))
        except BackendUnavailable as lack:
            lacks.append(lack)
    if not routes:
        raise lacks[0]
    return RoutedBackend(routes, on_fault=upstream_health.note)


def own_backend_for(served: Reached, *, priority: int = 0) -> ChatBackend:
    """As `backend_for`, of this one upstream alone. `priority` counts with our own workers."""
    # A client is imported with its first use: a site with a local model alone never loads the provider's.
    if served.backend == Served.Backend.LOCAL:
        from inference.backends.local import LocalBackend

        return LocalBackend(redis_url=settings.REDIS_URL, model=served.upstream_name, priority=priority)
    if served.backend == Served.Backend.SCRIPTED:
        return ScriptedBackend.from_file(_script_file(served))
    from inference.backends.openai_compatible import OpenAICompatibleBackend

    return OpenAICompatibleBackend(
        base_url=_base_url(served),
        api_key=_api_key(served),
        thinking_dialect=served.thinking_dialect,
        output_parser="ours" if served.output_parser == Served.OutputParser.OURS else "theirs",
    )


def upstreams_of(model: ServedModel) -> list[Upstream]:
    """Those that serve the model beside its own row's, as that row tells them."""
    return [Upstream(**told) for told in model.more_upstreams]


def _route(served: Reached, *, priority: int) -> Route:
    return Route(
        name=served.label,
        backend=own_backend_for(served, priority=priority),
        model=served.upstream_name,
        breaker=_breakers.setdefault(_recipe(served), Breaker()),
        rank=served.rank if isinstance(served, Upstream) else 0,
        weight=served.weight,
        patience_s=served.patience_s,
    )


def load_clients() -> None:
    """Import what the models on offer are reached by, before anybody waits for it."""
    reached = [served for model in ServedModel.objects.offered() for served in (model, *upstreams_of(model))]
    if any(served.backend == Served.Backend.OPENAI_COMPATIBLE for served in reached):
        from inference.backends import openai_compatible

        openai_compatible.trusted()


def is_configured(served: Reached) -> bool:
    """Whether its key, script or address is given; of our own workers, whether the model is theirs."""
    if served.backend == Served.Backend.LOCAL:
        return served.upstream_name == registry.served_name(settings.MODEL)
    try:
        own_backend_for(served)
    except BackendUnavailable:
        return False
    return True


def recipe_of(model: ServedModel) -> Recipe:
    """Backends of one recipe are the same: after an edit in the admin it is another."""
    more = (tuple(sorted(told.items(), key=itemgetter(0))) for told in model.more_upstreams)
    return (*_recipe(model), model.weight, model.patience_s, model.priority, *more)


def _recipe(served: Reached) -> Recipe:
    return (
        served._meta.label,
        served.pk,
        served.backend,
        served.upstream_name,
        served.base_url,
        served.api_key_env,
        served.thinking_dialect,
        served.output_parser,
    )


def _script_file(served: Reached) -> Path:
    if not settings.SCRIPT_FILE:
        raise BackendUnavailable(f"{served.label} has no script: start the platform with SCRIPT_FILE=path.")
    return Path(settings.SCRIPT_FILE)


def _base_url(served: Reached) -> str:
    if not served.base_url:
        raise BackendUnavailable(f"{served.label} has no address: an administrator can set its base URL.")
    return served.base_url


def _api_key(served: Reached) -> str:
    name = served.api_key_env
    if key := provider_key(name):
        return key
    if name in OPTIONAL_KEYS:
        return NO_KEY
    raise BackendUnavailable(f"{served.label} needs a key: start the platform with {name}=…")


def provider_key(name: str) -> str:
    """The key that this variable holds, or the empty text. Other variables than keys are not read."""
    try:
        KEY_VARIABLE(name)
    except ValidationError:
        return ""
    return str(getattr(settings, name, "")) or environment.text(name)
