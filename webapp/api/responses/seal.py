"""Text that clients carry for us unread, as `encrypted_content`: reasoning, and what a long conversation came
to. Signed for one tenant and packed; what comes back changed, or from elsewhere, is nothing.
"""

from django.core import signing

SALT = "webapp.api.responses.seal"


def closed(text: str, *, tenant: str, kind: str) -> str:
    return signing.dumps(text, salt=f"{SALT}\0{kind}\0{tenant}", compress=True)


def opened(sealed: str, *, tenant: str, kind: str) -> str | None:
    """None for what is not ours."""
    try:
        text = signing.loads(sealed, salt=f"{SALT}\0{kind}\0{tenant}")
    except signing.BadSignature:
        return None
    return text if isinstance(text, str) else None
