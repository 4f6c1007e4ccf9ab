"""Workers: what runs where, how it fares, and since when nothing was heard."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render

from console.fleet.logs import read_tail
from console.fleet.selectors import DeviceRow, get_worker, list_pools, pool_summary
from console.lib.pages import PageRequest, page
from console.registry.models import Version


@page()
def workers(request: PageRequest) -> HttpResponse:
    summary = pool_summary()
    context = {
        "summary": summary,
        "nodes": group_by_node(summary.devices),
        "pools": list_pools(),
        "view": "replicas" if request.GET.get("view") == "replicas" else "devices",
        "redis_url": settings.REDIS_URL,
    }
    return render(request, "fleet/workers.html", context)


def group_by_node(devices: tuple[DeviceRow, ...]) -> list[tuple[str, list[DeviceRow]]]:
    nodes: dict[str, list[DeviceRow]] = {}
    for device in devices:
        nodes.setdefault(device.node, []).append(device)
    return list(nodes.items())


@page()
def worker(request: PageRequest, replica: str) -> HttpResponse:
    row = get_worker(replica)
    version = Version.objects.filter(model__name=row.status.model, number=row.status.version).first()
    context = {"row": row, "status": row.status, "version": version, "log": read_tail(replica)}
    return render(request, "fleet/worker.html", context)
