"""People, their chats and their settings, without a browser."""

from tests.pages.conftest import alices_client, conversation, make_turn  # noqa: F401
from tests.turn.conftest import alice_tab, celery_worker, open_tab, server  # noqa: F401
