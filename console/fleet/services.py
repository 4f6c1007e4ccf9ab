"""What can be done to pools and prices."""

import re
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from console.accounts.services import record
from console.fleet.choices import DriverName
from console.fleet.models import Pool, Price
from console.lib import outbox
from console.lib.actors import Actor
from console.lib.errors import Invalid, StaleWrite

DEVICE = re.compile(r"^(cpu|cuda:\d{1,2})\Z")
NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}\Z")
MAX_WORKERS = 512
MAX_SPARES = 8


@transaction.atomic
def set_pool(
    *,
    actor: Actor,
    name: str = "default",
    devices: Sequence[str] | None = None,
    max_workers: int | None = None,
    spares: int | None = None,
    driver: str | None = None,
    seen: int | None = None,
) -> Pool:
    """Make a pool or change it; None leaves a thing as it is, and a call that changes nothing writes nothing."""
    held = Pool.objects.select_for_update().filter(name=name).first()
    base = held or Pool(name=name, devices=["cpu"])
    wanted = {
        "driver": base.driver if driver is None else driver,
        "devices": list(base.devices if devices is None else devices),
        "max_workers": base.max_workers if max_workers is None else max_workers,
        "spares": base.spares if spares is None else spares,
    }
    check_pool(name, wanted)
    if held is None:
        if seen:
            raise StaleWrite(f"The pool {name!r} was removed meanwhile.")
        pool = Pool.objects.create(name=name, updated_by=actor.actor_name, **wanted)
        before = None
    else:
        pool = held
        before = {field: getattr(pool, field) for field in wanted}
        if seen is not None and pool.row_version != seen:
            raise StaleWrite(f"The pool {name!r} was changed meanwhile; reload to see what it is now.")
        if before == wanted:
            return pool
        Pool.objects.filter(pk=pool.pk).update(
            **wanted, row_version=F("row_version") + 1, updated_by=actor.actor_name, updated_at=timezone.now()
        )
        pool.refresh_from_db()
    record(actor, "pool.set", f"pool/{name}", before=before, after=wanted)
    outbox.mark("pool", name)
    return pool


def check_pool(name: str, wanted: dict[str, object]) -> None:
    if not NAME.match(name):
        raise Invalid.field("name", f"{name!r} cannot be a pool's name.")
    if wanted["driver"] not in DriverName.values:
        raise Invalid.field("driver", f"The drivers are: {', '.join(DriverName.values)}.")
    devices = wanted["devices"]
    assert isinstance(devices, list)
    if not devices or len(set(devices)) != len(devices) or not all(DEVICE.match(str(device)) for device in devices):
        raise Invalid.field("devices", f"{devices!r}: give each device once, as cpu or cuda:0, cuda:1 …")
    for field, least, most in (("max_workers", 1, MAX_WORKERS), ("spares", 0, MAX_SPARES)):
        value = wanted[field]
        if not isinstance(value, int) or not least <= value <= most:
            raise Invalid.field(field, f"{field} lies between {least} and {most}.", "out_of_range")


@transaction.atomic
def set_price(*, name: str, nano_usd_per_hour: int, actor: Actor) -> Price:
    """Say what an hour of a kind of device costs."""
    if not NAME.match(name):
        raise Invalid.field("name", f"{name!r} cannot be a device kind: such as cpu, h100 or l4.")
    if not 0 <= nano_usd_per_hour < 2**63:
        raise Invalid.field("nano_usd_per_hour", "A price is zero or more.", "out_of_range")
    held = Price.objects.select_for_update().filter(name=name).first()
    before = {"nano_usd_per_hour": held.nano_usd_per_hour} if held else None
    if held is not None and held.nano_usd_per_hour == nano_usd_per_hour:
        return held
    price, _ = Price.objects.update_or_create(
        name=name,
        defaults={
            "nano_usd_per_hour": nano_usd_per_hour,
            "updated_by": actor.actor_name,
            "row_version": held.row_version + 1 if held else 1,
        },
    )
    record(actor, "price.set", f"price/{name}", before=before, after={"nano_usd_per_hour": nano_usd_per_hour})
    outbox.mark("price", name)
    return price
