from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    name = "console.telemetry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console.telemetry.receivers import connect_receivers

        connect_receivers()
