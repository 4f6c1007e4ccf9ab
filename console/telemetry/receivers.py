"""Sockets look again at once when their person logs out or changes; the look every 30 s covers all else."""

import contextlib
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_save

from console.telemetry.live import AWAY, group_of_person


def look_again(pk: int) -> None:
    with contextlib.suppress(*AWAY, RuntimeError):  # no Redis, or called inside a running loop
        async_to_sync(get_channel_layer().group_send)(group_of_person(pk), {"type": "live.recheck"})


def on_logout(user: Any, **_: Any) -> None:
    if user is not None:
        look_again(user.pk)


def on_change(instance: Any, created: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    if not created and update_fields != frozenset({"last_login"}):
        transaction.on_commit(lambda: look_again(instance.pk))


def connect_receivers() -> None:
    user_logged_out.connect(on_logout, dispatch_uid="sockets look again after logout")
    post_save.connect(on_change, sender=get_user_model(), dispatch_uid="sockets look again after a change")
