"""People: made, changed, put out of action. Nobody is deleted: the record names them."""

import os
import secrets
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F

from console.accounts.choices import Role, Theme
from console.accounts.models import User
from console.accounts.services.audit import record
from console.accounts.services.login import forget_admin_password
from console.lib import outbox
from console.lib.actors import SYSTEM, Actor
from console.lib.errors import AlreadyExists, Fault, Invalid, InvalidTransition, StaleWrite
from console.lib.permissions import check_right
from console.lib.rights import ADMIN
from inference import spec

PAGE_SIZES = (25, 50, 100)


@transaction.atomic
def create_user(
    *,
    actor: Actor,
    username: str,
    password: str,
    role: str = Role.VIEWER,
    email: str = "",
    native: bool = False,
    reason: str = "",
) -> User:
    check_right(actor, ADMIN)
    user = User(username=username, email=email, role=role, native=native)
    check_user(user, password)
    if User.objects.filter(username__iexact=username).exists():
        raise AlreadyExists(f"There is a user {username!r} already.")
    user.set_password(password)
    user.save()
    record(actor, "user.create", user, after=describe(user), reason=reason)
    return user


@transaction.atomic
def update_user(
    *,
    actor: Actor,
    user: User,
    seen: int,
    role: str | None = None,
    email: str | None = None,
    native: bool | None = None,
    is_active: bool | None = None,
    reason: str = "",
) -> User:
    """Change role, address, the native right or whether they may log in. The last admin stays one."""
    check_right(actor, ADMIN)
    given = {"role": role, "email": email, "native": native, "is_active": is_active}
    changes = {name: value for name, value in given.items() if value is not None and value != getattr(user, name)}
    if not changes:
        return user
    before = describe(user)
    for name, value in changes.items():
        setattr(user, name, value)
    check_user(user, password=None)
    if before["role"] == Role.ADMIN and (user.role != Role.ADMIN or not user.is_active):
        keep_one_admin(user)
    rows = User.objects.filter(pk=user.pk, row_version=seen).update(row_version=F("row_version") + 1, **changes)
    if rows != 1:
        raise StaleWrite(f"{user.username} was changed meanwhile; read again and repeat.")
    user.refresh_from_db()
    record(actor, "user.update", user, before=before, after=describe(user), reason=reason)
    if not user.is_active:
        end_sessions(user)
    outbox.mark("keys", spec.KEYS_NAME)  # keys never outrank their owner
    return user


def deactivate_user(*, actor: Actor, user: User, seen: int, reason: str = "") -> User:
    """They can no longer log in, their sessions end, and their keys stop working within a second."""
    return update_user(actor=actor, user=user, seen=seen, is_active=False, reason=reason)


@transaction.atomic
def set_password(*, actor: Actor, user: User, password: str, reason: str = "") -> None:
    if actor.actor_kind != "user" or actor.person != user:
        check_right(actor, ADMIN)
    check_user(user, password)
    user.set_password(password)
    user.save(update_fields=["password"])
    record(actor, "user.set_password", user, reason=reason)
    transaction.on_commit(lambda: forget_admin_password(user), robust=True)


@transaction.atomic
def change_preferences(*, user: User, **preferences: Any) -> User:
    """Theme, shortcuts and page size are everyone's own; they are not part of the record."""
    unknown = set(preferences) - {"theme", "shortcuts", "page_size"}
    if unknown:
        raise Invalid(f"There is no preference {', '.join(sorted(unknown))}.")
    if preferences.get("theme", user.theme) not in Theme.values:
        raise Invalid.field("theme", f"The theme is one of {', '.join(Theme.values)}.")
    if preferences.get("page_size", user.page_size) not in PAGE_SIZES:
        raise Invalid.field("page_size", f"The page size is one of {', '.join(map(str, PAGE_SIZES))}.")
    for name, value in preferences.items():
        setattr(user, name, value)
    user.save(update_fields=list(preferences))
    return user


@transaction.atomic
def create_admin(*, username: str = "admin", password: str = "") -> tuple[User, str | None]:
    """The first admin, or the one of that name. The password is returned only when it was set here.

    It is taken from the argument, else from SWITCHYARD_ADMIN_PASSWORD, else made up. The admin of a fresh deployment
    owns the machine, so may also register formats that run code when loaded.
    """
    found = User.objects.filter(username=username).first()
    if found:
        return found, None
    chosen = password or os.environ.get("SWITCHYARD_ADMIN_PASSWORD", "")
    user = User(username=username, role=Role.ADMIN, native=True)
    if chosen:
        check_user(user, chosen)
    password = chosen or secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    record(SYSTEM, "user.create", user, after=describe(user), reason="first admin of this deployment")
    outbox.mark("keys", spec.KEYS_NAME)  # gateways learn the console's own key before anybody makes one
    return user, password


def check_user(user: User, password: str | None) -> None:
    """Raises Invalid with every fault at once. `password=None`: it does not change."""
    faults = []
    if user.role not in Role.values:
        faults.append(Fault("/role", "invalid_choice", f"The role is one of {', '.join(Role.values)}."))
    if user.email:
        faults += faults_of("email", validate_email, user.email)
    faults += faults_of("username", lambda name: User._meta.get_field("username").clean(name, user), user.username)
    if password is not None:
        faults += faults_of("password", lambda text: validate_password(text, user), password)
    if faults:
        raise Invalid(" ".join(fault.detail for fault in faults), tuple(faults))


def faults_of(name: str, check: Any, value: Any) -> list[Fault]:
    try:
        check(value)
    except ValidationError as error:
        return [Fault(f"/{name}", "invalid", message) for message in error.messages]
    return []


def keep_one_admin(leaving: User) -> None:
    # The locked rows make two admins who demote each other at once wait for one another.
    others = User.objects.select_for_update().filter(role=Role.ADMIN, is_active=True).exclude(pk=leaving.pk)
    if not list(others):
        raise InvalidTransition(f"{leaving.username} is the only active admin. Make someone else admin first.")


def end_sessions(user: User) -> None:
    for session in Session.objects.iterator():
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()


def describe(user: User) -> dict[str, object]:
    return {name: getattr(user, name) for name in ("username", "email", "role", "native", "is_active")}
