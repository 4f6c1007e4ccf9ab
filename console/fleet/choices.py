"""Words of the fleet."""

from django.db import models


class DriverName(models.TextChoices):
    LOCAL = "local", "This machine"
    RAY = "ray", "Ray"


class Freshness(models.TextChoices):
    """How much a report can still be trusted, by its age."""

    LIVE = "live", "Live"
    STALE = "stale", "Stale"
    UNKNOWN = "unknown", "No news"
