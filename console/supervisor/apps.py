from django.apps import AppConfig


class SupervisorConfig(AppConfig):
    """`manage.py up`: every program of one machine, started, watched and stopped in order."""

    name = "console.supervisor"
