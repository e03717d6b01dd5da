"""Reading a setting from the environment. A bad value raises ImproperlyConfigured, which names it."""

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable, or the contents of the file that NAME_FILE points at (for secrets), or the default."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name, default).strip()


def flag(name: str, *, default: bool) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
        raise ImproperlyConfigured(f"{name}={value!r} is neither on nor off: use 1 or 0.")
    return value in {"1", "true", "yes", "on"}


def number(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    value = text(name, str(default))
    if not value.lstrip("-").isdigit() or int(value) < minimum:
        raise ImproperlyConfigured(f"{name}={value!r} is no whole number of at least {minimum}.")
    if maximum is not None and int(value) > maximum:
        raise ImproperlyConfigured(f"{name}={value!r} is more than {maximum}.")
    return int(value)


def amount(name: str, default: str) -> Decimal:
    """An amount of money, down to a billionth."""
    try:
        value = Decimal(text(name, default))
        is_sound = value >= 0 and value == value.quantize(Decimal("1e-9"))
    except InvalidOperation:
        is_sound = False
    if not is_sound:
        raise ImproperlyConfigured(
            f"{name}={text(name)!r} is no amount of money: use a number like {default}."
        )
    return value


def address(name: str, default: str, *schemes: str) -> str:
    """An address under one of the schemes; an empty one is as good as none."""
    value = text(name) or default
    if value.partition("://")[0] not in schemes or "://" not in value:
        # The value itself is not told: there may be a password in it.
        raise ImproperlyConfigured(f"{name} is no address: it begins with {':// or '.join(schemes)}://.")
    return value


def one_of(name: str, *choices: str) -> str:
    """One of the choices; the first is the default."""
    value = text(name, choices[0])
    if value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r} is none of {', '.join(choices)}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    return [word for word in text(name, default).replace(",", " ").split() if word]


def choices_by_name(name: str, *choices: str) -> dict[str, str]:
    """Like "mail=always,search=never"."""
    chosen = {}
    for word in words(name):
        key, _equals, value = word.partition("=")
        if not key or value not in choices:
            raise ImproperlyConfigured(f"{name}: {word!r} is not like tool={' or tool='.join(choices)}.")
        chosen[key] = value
    return chosen


def secrets_of_environment() -> tuple[str, ...]:
    """Every value that by its variable's name is nobody else's business."""
    hidden = ("_KEY", "_SECRET", "_PASSWORD", "_TOKEN")
    names = {name for name in os.environ if name.endswith(hidden)}
    names |= {name.removesuffix("_FILE") for name in os.environ if name.endswith("API_KEY_FILE")}
    return tuple(sorted(value for name in names if (value := text(name))))
