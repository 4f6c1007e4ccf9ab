"""The `pool` and `price` documents."""

from console.fleet.models import Pool, Price
from console.lib.outbox import Stamp
from inference import spec


def build_pool_spec(name: str, stamp: Stamp) -> spec.PoolSpec:
    pool = Pool.objects.filter(name=name).first()
    if pool is None:
        return spec.PoolSpec(name=name, epoch=stamp.epoch, generation=stamp.generation, deleted=True)
    return spec.PoolSpec(
        name=name,
        epoch=stamp.epoch,
        generation=stamp.generation,
        driver=pool.driver,
        devices=tuple(pool.devices),
        max_workers=pool.max_workers,
        spares=pool.spares,
    )


def build_price_spec(name: str, stamp: Stamp) -> spec.PriceSpec:
    price = Price.objects.filter(name=name).first()
    if price is None:
        return spec.PriceSpec(name=name, epoch=stamp.epoch, generation=stamp.generation, deleted=True)
    return spec.PriceSpec(
        name=name, epoch=stamp.epoch, generation=stamp.generation, nano_usd_per_hour=price.nano_usd_per_hour
    )
