"""Words of serving."""

from django.db import models


class Assignment(models.TextChoices):
    REQUEST = "request", "Each request drawn anew"
    KEY = "key", "Sticky by key"


class LoadState(models.TextChoices):
    """How far a live version is on its way into the workers, over all of its units."""

    SERVING = "serving", "Serving"
    READY = "ready", "Loaded"
    LOADING = "loading", "Loading"
    FAILED = "failed", "Failed"
    WAITING = "waiting", "Waiting"
    NOT_LIVE = "not_live", "Not loaded"
    UNKNOWN = "unknown", "Unknown"  # no news from the pool


class InputKind(models.TextChoices):
    """Which form field of the playground takes a tensor."""

    TEXT = "text", "Text"
    IMAGE = "image", "Image"
    NUMBERS = "numbers", "Numbers"
