"""What a new installation needs: tables, static files, models and prices, an admin and a demo user."""

import os
import secrets
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import transaction

from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing import seeds as prices
from webapp.catalog import seeds as models

DEMO_CREDIT = Decimal("20.00")
PASSWORDS_FILE = "first-run-passwords"


@dataclass(frozen=True)
class Login:
    username: str
    password: str


def prepare() -> list[Login]:
    """Brings tables, static files and rows up to date; answers the sign-ins made, on the first run alone."""
    call_command("migrate", verbosity=0, interactive=False)
    if _static_is_stale():
        call_command("collectstatic", verbosity=0, interactive=False)
        _static_stamp().write_text(_static_state(), encoding="ascii")
    return seed()


def seed() -> list[Login]:
    """Models and prices as the settings ask for them; on an empty installation the first users too."""
    with transaction.atomic():
        models.seed()
        prices.seed()
        if User.objects.exists():
            return []
        logins = [Login(name, secrets.token_urlsafe(12)) for name in ("admin", "demo")]
        User.objects.create_superuser("admin", "admin@localhost", logins[0].password)
        demo = User.objects.create_user("demo", "demo@localhost", logins[1].password)
        accounts.credit(demo, DEMO_CREDIT, "First run")
        _save(logins)  # before the commit: a password that nobody has seen must not count
    return logins


def passwords_path() -> Path:
    return Path(settings.VAR_DIR) / PASSWORDS_FILE


def _save(logins: list[Login]) -> None:
    path = passwords_path()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{login.username} {login.password}\n" for login in logins)
    path.chmod(0o600)  # a file that was there before keeps its mode otherwise


# ---- static files


def _static_stamp() -> Path:
    return Path(settings.STATIC_ROOT) / ".collected"


def _static_is_stale() -> bool:
    stamp = _static_stamp()
    return not stamp.exists() or stamp.read_text(encoding="ascii") != _static_state()


def _static_state() -> str:
    """Changes whenever a file of ours is added, removed or edited."""
    folders = [settings.BUNDLE_DIR, settings.BASE_DIR / "static"]
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    newest = max((path.stat().st_mtime_ns for path in files), default=0)
    return f"{len(files)} {newest}"
