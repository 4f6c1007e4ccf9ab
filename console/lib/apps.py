from django.apps import AppConfig


class LibConfig(AppConfig):
    """What every app stands on; an app so that its tables, checks, commands and template tags are found."""

    name = "console.lib"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console.lib import checks  # noqa: F401  registers them
