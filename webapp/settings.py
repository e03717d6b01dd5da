"""Every setting, from the environment, with a default that works on a laptop.

A bad value stops start-up and names itself.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _
from dotenv import load_dotenv

from webapp.environment import (
    address,
    amount,
    choices_by_name,
    flag,
    number,
    one_of,
    secrets_of_environment,
    text,
    words,
)

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(os.environ.get("ENV_FILE", BASE_DIR / ".env"))

# ---- where things lie
VAR_DIR = Path(text("VAR_DIR", str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)
MODELS_DIR = Path(text("MODELS_DIR", str(VAR_DIR / "models")))


def _own_secret() -> str:
    """A key made at the first start and kept: one machine needs no set-up, and sessions survive a restart."""
    path = VAR_DIR / "secret_key"
    if not path.exists():
        draft = path.with_name(f"secret_key.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(os.urandom(48).hex(), encoding="utf-8")
        # A link appears whole or not at all, and the first process wins: all read the same key.
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text(encoding="utf-8")


# ---- the site
DEBUG = flag("DEBUG", default=False)
SECRET_KEY = text("SECRET_KEY") or _own_secret()
# Keys of before: what they sealed (sessions, reset links, thinking) is good until they are taken out here.
SECRET_KEY_FALLBACKS = words("SECRET_KEY_FALLBACKS")
METRICS_TOKEN = text("METRICS_TOKEN")  # who brings it reads /metrics; without one, this machine alone
ALLOWED_HOSTS = words("ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")
SECURE = flag("SECURE", default=False)  # served over TLS: cookies and HSTS say so
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
BEHIND_PROXY = flag("BEHIND_PROXY", default=False)  # a proxy of ours writes X-Forwarded-Proto and -For
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "daphne",
    "webapp.admin_site.PlatformAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_htmx",
    "webapp",
    "webapp.accounts",
    "webapp.catalog",
    "webapp.billing",
    "webapp.webhooks",
    "webapp.api",
    "chat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "webapp.accounts.audit.Middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
        },
    }
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "frame-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
        "worker-src": [SELF],
        "require-trusted-types-for": ["'script'"],
    },
}

# ---- the database
DATABASE_URL = text("DATABASE_URL", f"sqlite:///{VAR_DIR / 'db.sqlite3'}")
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE: a writer waits for its lock at the start, else it fails halfway with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Only what `chat.guarded` says is prepared by the server; Django's own cursors never do that.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("prepare_threshold", 2)
DATABASES["default"]["CONN_MAX_AGE"] = 60  # opening SQLite with its pragmas costs a millisecond, too

# ---- Redis: broker, event logs, request queue, rate limits. `manage.py up` starts one if REDIS_URL is unset.
REDIS_URL = address("REDIS_URL", f"unix://{VAR_DIR / 'redis.sock'}?db=0", "redis", "rediss", "unix")

CHANNEL_LAYERS = {
    # Rare control messages only; tokens never pass through the channel layer.
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 43_200}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE = {
    # Expired leases, due wake-ups and forgotten holds. A sweep that nobody took within two seconds is void.
    "sweep": {"task": "chat.tasks.sweep", "schedule": 1.0, "options": {"queue": "default", "expires": 2}},
    "money": {
        "task": "webapp.billing.tasks.look_after",
        "schedule": 60.0,
        "options": {"queue": "default", "expires": 60},
    },
    "money_at_night": {
        "task": "webapp.billing.tasks.close_the_day",
        "schedule": crontab(hour=2, minute=10),
        "options": {"queue": "default", "expires": 3_600},
    },
    "tidy": {"task": "chat.tasks.tidy", "schedule": 3_600.0, "options": {"queue": "default", "expires": 600}},
    "responses": {
        "task": "webapp.api.tasks.sweep",
        "schedule": 1.0,
        "options": {"queue": "default", "expires": 2},
    },
    "abandoned": {
        "task": "webapp.api.tasks.settle_abandoned",
        "schedule": 5.0,
        "options": {"queue": "default", "expires": 10},
    },
    "calls": {
        "task": "webapp.api.tasks.tidy",
        "schedule": 3_600.0,
        "options": {"queue": "default", "expires": 600},
    },
    "webhooks": {
        "task": "webapp.webhooks.tasks.sweep",
        "schedule": 5.0,
        "options": {"queue": "default", "expires": 10},
    },
    "webhook_log": {
        "task": "webapp.webhooks.tasks.tidy",
        "schedule": 3_600.0,
        "options": {"queue": "default", "expires": 600},
    },
}

# ---- people
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "sign_in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PUBLIC_URL = text("PUBLIC_URL", "http://localhost:8000").rstrip("/")  # where people reach the site: for mail
TEMPORARY_CHAT_HOURS = number("TEMPORARY_CHAT_HOURS", 6, minimum=1)  # after its last use it is gone
SIGN_UP_OPEN = flag("SIGN_UP_OPEN", default=True)
DAILY_LIMIT = amount("DAILY_LIMIT", "0") or None  # of an account, in BILLING_CURRENCY; 0: none
SIGN_UPS_OF_A_NETWORK = number("SIGN_UPS_OF_A_NETWORK", 10, minimum=1)  # in a quarter of an hour
SIGN_UP_CREDIT = amount("SIGN_UP_CREDIT", "5.00")  # in BILLING_CURRENCY
EMAIL_BACKEND = text("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
EMAIL_HOST = text("EMAIL_HOST", "localhost")
EMAIL_PORT = number("EMAIL_PORT", 25)
EMAIL_HOST_USER = text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = flag("EMAIL_USE_TLS", default=False)
DEFAULT_FROM_EMAIL = text("DEFAULT_FROM_EMAIL", "Kimi K2 Thinking <no-reply@localhost>")

# ---- money
BILLING_CURRENCY = one_of("BILLING_CURRENCY", "USD", "CNY")
VELOCITY_TIMES = number("VELOCITY_TIMES", 10, minimum=2)  # an hour that costs so many times the usual one
VELOCITY_FLOOR = amount("VELOCITY_FLOOR", "1.00")  # and more than this raises an alarm

# ---- models and backends
MODEL = text("MODEL", "qwen2.5-coder-1.5b")  # served by `manage.py up`; see inference/registry.toml
OPENAI_BASE_URL = text("OPENAI_BASE_URL")
OPENAI_API_KEY = text("OPENAI_API_KEY")
OPENAI_MODEL = text("OPENAI_MODEL")
MOONSHOT_BASE_URL = text("MOONSHOT_BASE_URL", "https://api.moonshot.ai/v1")
MOONSHOT_API_KEY = text("MOONSHOT_API_KEY")
SCRIPT_FILE = text("SCRIPT_FILE")  # a scripted model for demos and tests; never offered unless given

# ---- tools
TOOL_APPROVAL = choices_by_name("TOOL_APPROVAL", "always", "untrusted", "never")  # like "mail=always"
APPROVAL_HOURS = number("APPROVAL_HOURS", 168, minimum=1)  # then a call that nobody decided on is refused
# No tool sends these anywhere, whatever the model asks for.
KEPT_SECRETS = (
    *(SECRET_KEY, *SECRET_KEY_FALLBACKS, *secrets_of_environment()),
    str(DATABASES["default"].get("PASSWORD") or ""),
)
TEAMS = text("TEAMS")  # TOML of the operator's own teams of agents, as in agents/teams/teams.toml
MCP_SERVERS = text("MCP_SERVERS")  # TOML: chat/tool_servers.py reads it at the start

# ---- search and pages: see agents/search and agents/pages
CORPUS_INDEX = Path(text("CORPUS_INDEX", str(VAR_DIR / "corpus" / "index.sqlite3")))
CORPUS_SITE = text("CORPUS_SITE")  # where `manage.py corpus serve` is, like http://127.0.0.1:8090
SEARCH_PROVIDERS = words("SEARCH_PROVIDERS", "local")  # in this order: local searxng brave tavily serper exa
SEARXNG_URL = text("SEARXNG_URL")  # of a server of one's own, which may be on a private network
BRAVE_API_KEY = text("BRAVE_API_KEY")
TAVILY_API_KEY = text("TAVILY_API_KEY")
SERPER_API_KEY = text("SERPER_API_KEY")
EXA_API_KEY = text("EXA_API_KEY")
OPEN_PAGES = flag("OPEN_PAGES", default=True)  # off: no page outside the local index is opened
PAGES_ALLOWED = words("PAGES_ALLOWED")  # domains; where any is given, no other is opened
PAGES_DENIED = words("PAGES_DENIED")
RENDER_PAGES = flag("RENDER_PAGES", default=True)  # in Chromium, those whose text comes by scripts
CHROMIUM = text("CHROMIUM")  # where it is, unless in a usual place
PAGES_QUARANTINED = flag("PAGES_QUARANTINED", default=False)  # no text of pages in a turn: answers about it

# ---- files that people attach; they lie in STORAGES["default"]
MEDIA_ROOT = Path(text("MEDIA_ROOT", str(VAR_DIR / "media")))
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700
ATTACHMENT_MB = number("ATTACHMENT_MB", 25, minimum=1, maximum=40)  # more does not fit the sandbox
ATTACHMENTS_OF_A_MESSAGE = number("ATTACHMENTS_OF_A_MESSAGE", 10, minimum=1)
ATTACHMENTS_UNSENT = number("ATTACHMENTS_UNSENT", 30, minimum=1)  # of a user, waiting to be sent
CONCURRENT_UPLOADS = number("CONCURRENT_UPLOADS", 12, minimum=1)  # of a user
UPLOADS_PER_MINUTE = number("UPLOADS_PER_MINUTE", 60, minimum=1)
ATTACHMENT_QUOTA_MB = number("ATTACHMENT_QUOTA_MB", 1_000, minimum=1)  # of a user, all chats together
ATTACHMENT_KEPT_HOURS = number("ATTACHMENT_KEPT_HOURS", 48, minimum=1)  # when it is never sent
DOCUMENT_WINDOW_PERCENT = number("DOCUMENT_WINDOW_PERCENT", 30)  # of a model's window, for whole documents

# ---- limits
MAX_MESSAGE_CHARS = number("MAX_MESSAGE_CHARS", 400_000, minimum=1)
TURN_LEASE_S = number("TURN_LEASE_S", 3, minimum=1)
TURN_SEGMENT_STEPS = number("TURN_SEGMENT_STEPS", 25, minimum=1)
TURN_SEGMENT_S = number("TURN_SEGMENT_S", 60, minimum=1)
REQUESTS_PER_MINUTE = number("REQUESTS_PER_MINUTE", 600, minimum=1)  # of a user, over the API
KEY_REQUESTS_PER_MINUTE = number("KEY_REQUESTS_PER_MINUTE", 600, minimum=1)
CONCURRENT_REQUESTS = number("CONCURRENT_REQUESTS", 32, minimum=1)  # of a user
TURNS_PER_MINUTE = number("TURNS_PER_MINUTE", 30, minimum=1)  # of a user, in the chat
CONCURRENT_TURNS = number("CONCURRENT_TURNS", 4, minimum=1)
CONCURRENT_AGENTS = number("CONCURRENT_AGENTS", 16, minimum=1)  # of a user; further ones wait for their turn
QUOTA_PATIENCE_S = number("QUOTA_PATIENCE_S", 21_600, minimum=1)  # a turn waits for its provider's quota
EVENT_LOG_TTL_S = number("EVENT_LOG_TTL_S", 86_400, minimum=60)

# ---- webhooks: receivers of the operator's own, as name:port, which may be on a private network
WEBHOOK_PRIVATE_HOSTS = words("WEBHOOK_PRIVATE_HOSTS")

# ---- traces: OTEL_EXPORTER_OTLP_ENDPOINT switches them on, see webapp/telemetry.py
TRACING_CAPTURES_CONTENT = flag("TRACING_CAPTURES_CONTENT", default=False)  # what people and models write
TRACING_PERCENT = number("TRACING_PERCENT", 100)  # of all turns

# ---- language and time
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "webapp" / "locale"]
TIME_ZONE = text("TIME_ZONE", "UTC")
USE_TZ = True

# ---- static files
STATIC_URL = "/static/"
BUNDLE_DIR = Path(text("BUNDLE_DIR", str(BASE_DIR / "static" / "built")))
STATICFILES_DIRS = [("built", BUNDLE_DIR), BASE_DIR / "static"]
STATIC_ROOT = Path(text("STATIC_ROOT", str(VAR_DIR / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "webapp.static_files.StaticFiles"},
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_IMMUTABLE_FILE_TEST = r"\.[0-9a-f]{8,12}\.[a-z]+(\.map)?$"  # a name made of the content

# ---- logs: events with ids, never message text
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:<7} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": text("LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        # Even when LOG_LEVEL asks for all: it would write down what people say to the model.
        "openai": {"level": "WARNING"},
        "mcp": {"level": "WARNING"},
        "mcp.client": {"level": "CRITICAL"},
        "daphne.http_protocol": {"level": "WARNING"},
        # A line for each sweep, every second, would bury the rest.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
