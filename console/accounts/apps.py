from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "console.accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console.accounts import signals  # noqa: F401  connects them
        from console.accounts.publish import build_keys
        from console.lib import outbox

        # The document holds keys that expire and the console's own of the day, so it is built anew twice a day.
        outbox.register("keys", build_keys, refresh_s=12 * 3600)
