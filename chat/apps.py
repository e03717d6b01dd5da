from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete


class ChatConfig(AppConfig):
    name = "chat"
    label = "chat"

    def ready(self) -> None:
        from chat import account_data, attachments, queueing, tasks, temporary
        from chat.models import Attachment
        from webapp.accounts import closing

        # However its row goes: with its conversation, its account, or alone.
        post_delete.connect(attachments.forget_file, sender=Attachment)
        tasks.SWEPT.append(queueing.go_on)
        closing.closed.connect(account_data.clear)
        user_logged_out.connect(temporary.signed_out)
        if settings.MCP_SERVERS:
            from chat import tool_servers

            tool_servers.configured()  # a mistake in it stops the start
        if settings.TEAMS:
            from chat import conductors

            conductors.teams()  # and so does one in these
