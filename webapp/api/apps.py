from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "webapp.api"
    label = "api"

    def ready(self) -> None:
        from webapp.accounts import closing
        from webapp.api import stored_data

        closing.closed.connect(stored_data.clear)
