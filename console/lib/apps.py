from django.apps import AppConfig


class LibConfig(AppConfig):
    """What every app stands on; an app only so that its outbox table and template tags are found."""

    name = "console.lib"
    default_auto_field = "django.db.models.BigAutoField"
