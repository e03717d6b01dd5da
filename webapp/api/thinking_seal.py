"""The signature under a thinking block: this platform's own, over its text, for one tenant and one model.

A block that comes back with it is what that model thought; any other text could have been put into its mouth.
"""

import base64
import hmac

from django.conf import settings
from django.utils.crypto import salted_hmac


def sign(text: str, *, tenant: str, model: str) -> str:
    return _signature(text, tenant=tenant, model=model, key=settings.SECRET_KEY)


def is_genuine(text: str, signature: str, *, tenant: str, model: str) -> bool:
    """Whether the signature is ours, of now or of a key before, and the text is the one that was signed."""
    given = signature.encode(errors="replace")
    return any(
        hmac.compare_digest(_signature(text, tenant=tenant, model=model, key=key).encode(), given)
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )


def _signature(text: str, *, tenant: str, model: str, key: str | bytes) -> str:
    # Neither a tenant nor a model's name holds a NUL: no other three texts are joined to the same one.
    signed = f"{tenant}\0{model}\0{text}"
    digest = salted_hmac("webapp.api.thinking_seal", signed, secret=key, algorithm="sha256").digest()
    return base64.b64encode(digest).decode()
