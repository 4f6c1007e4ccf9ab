"""What is wanted of a model in production: who gets the traffic, what stays loaded, what may be cached."""

from django.db import models

from console.registry.models import Model, Version
from console.serving.choices import Assignment


class Traffic(models.Model):
    """How a model's traffic is split. Its weights sum to 100, or there are none and nothing is served."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, related_name="traffic")
    assignment = models.CharField(max_length=16, choices=Assignment.choices, default=Assignment.REQUEST)
    salt = models.CharField(max_length=64, blank=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=150, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name_plural = "traffic"

    def __str__(self) -> str:
        return f"traffic of {self.model.name}"


class TrafficWeight(models.Model):
    traffic = models.ForeignKey(Traffic, on_delete=models.CASCADE, related_name="weights")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="weights")
    percent = models.FloatField()

    class Meta:
        ordering = ["-percent", "version__number"]
        constraints = [
            models.UniqueConstraint(fields=["traffic", "version"], name="one_weight_a_version"),
            models.CheckConstraint(condition=models.Q(percent__gt=0, percent__lte=100), name="weight_in_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.version.label} {self.percent:g} %"


class LivePin(models.Model):
    """Keeps a version loaded and addressable though it has neither traffic nor an alias."""

    version = models.OneToOneField(Version, on_delete=models.PROTECT, related_name="live_pin")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)

    def __str__(self) -> str:
        return f"{self.version} stays loaded"


class Outgoing(models.Model):
    """A version that lost its traffic and stays addressable until the workers of its successor really took it over.

    Without it, giving all traffic to a version that is still loading would leave gateways with nobody to ask.
    """

    version = models.OneToOneField(Version, on_delete=models.PROTECT, related_name="outgoing")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.version} hands over"


class CachePolicy(models.Model):
    model = models.OneToOneField(Model, on_delete=models.CASCADE, related_name="cache_policy")
    enabled = models.BooleanField(default=False)
    strategy = models.CharField(max_length=32, default="adaptive")
    max_bytes = models.PositiveBigIntegerField(default=64 * 1024 * 1024)
    max_entries = models.PositiveIntegerField(default=100_000)
    ttl_s = models.FloatField(default=600.0)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=150, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name_plural = "cache policies"

    def __str__(self) -> str:
        return f"cache of {self.model.name}"
