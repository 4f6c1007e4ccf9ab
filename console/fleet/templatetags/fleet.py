"""Sums over a device's workers."""

from django import template

from console.fleet.selectors import DeviceRow

register = template.Library()


@register.simple_tag
def memory_share(device: DeviceRow) -> float:
    """Percent of the device's memory that is taken; 0 where the whole is unknown."""
    used, total = device.memory_used_bytes.value, device.memory_total_bytes.value
    return 100 * used / total if used is not None and total else 0.0


@register.simple_tag
def in_flight(device: DeviceRow) -> int:
    return sum(row.status.in_flight for row in device.workers)
