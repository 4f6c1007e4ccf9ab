"""People, their API keys, and the record of what they did."""

from django.contrib.auth.models import AbstractUser
from django.db import models

from console.accounts.choices import Role, Theme


class User(AbstractUser):
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    native = models.BooleanField(default=False, help_text="May register formats that run code when loaded")
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.SYSTEM)
    shortcuts = models.BooleanField(default=True)
