from django.apps import AppConfig
from django.conf import settings


class ChatConfig(AppConfig):
    name = "chat"
    label = "chat"

    def ready(self) -> None:
        if settings.MCP_SERVERS:
            from chat import tool_servers

            tool_servers.configured()  # a mistake in it stops the start
        if settings.TEAMS:
            from chat import conductors

            conductors.teams()  # and so does one in these
