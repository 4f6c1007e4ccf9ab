"""Pools and prices are wanted and live here; workers and devices are so, and are read from their reports."""

from django.db import models

from console.fleet.choices import DriverName


class Pool(models.Model):
    """A named set of devices with one driver."""

    name = models.CharField(max_length=63, unique=True)
    driver = models.CharField(max_length=16, choices=DriverName.choices, default=DriverName.LOCAL)
    devices = models.JSONField(default=list)  # "cpu", "cuda:0" …
    max_workers = models.PositiveIntegerField(default=8)
    spares = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=150, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Price(models.Model):
    """What an hour of a kind of device costs."""

    name = models.CharField(max_length=63, unique=True)  # a device kind, such as cpu or h100
    nano_usd_per_hour = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=150, blank=True)
    row_version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
