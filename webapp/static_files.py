"""How static files are named and stored: by content hash, compressed; our modules import each other so."""

from typing import Any

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]  # has no types

_IMPORTS: Any = HashedFilesMixin._js_module_import_aggregation_patterns[1]  # type: ignore[attr-defined]  # Django's own


class StaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # see above
    """Every file may be cached for ever, for another content has another name.

    Django can do the same for every script, but then trips over comments of others that look like imports.
    """

    patterns = (*HashedFilesMixin.patterns, ("js/*.js", _IMPORTS))

    def hashed_name(self, name: str, content: Any = None, filename: str | None = None) -> str:
        """What was built has its hash in its name, and imports by that name."""
        if name.startswith("built/"):
            return name
        return str(super().hashed_name(name, content, filename))
