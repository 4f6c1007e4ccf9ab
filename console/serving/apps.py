from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "console.serving"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console.lib import outbox
        from console.serving.publish import build_model_spec

        outbox.register("spec", build_model_spec)
