from django.apps import AppConfig


class FleetConfig(AppConfig):
    name = "console.fleet"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console.fleet.publish import build_pool_spec, build_price_spec
        from console.lib import outbox

        outbox.register("pool", build_pool_spec)
        outbox.register("price", build_price_spec)
