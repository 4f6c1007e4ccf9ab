"""What follows from events of Django and allauth themselves; everything of ours is a plain call."""
# ruff: noqa: ARG001

from typing import Any

from allauth.account.signals import password_changed, password_set
from allauth.mfa.signals import authenticator_added, authenticator_removed
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.dispatch import receiver

from console.accounts.models import User
from console.accounts.services import forget_admin_password, record


@receiver([password_changed, password_set])
def note_new_password(sender: Any, user: User, **kwargs: Any) -> None:
    with transaction.atomic():
        record(user, "user.set_password", user)
        transaction.on_commit(lambda: forget_admin_password(user), robust=True)


@receiver([authenticator_added, authenticator_removed])
def note_second_factor(sender: Any, user: User, signal: Any, **kwargs: Any) -> None:
    action = "mfa.add" if signal is authenticator_added else "mfa.remove"
    with transaction.atomic():
        record(user, action, user)


@receiver(user_logged_in)
def note_login(sender: Any, user: User, **kwargs: Any) -> None:
    with transaction.atomic():
        record(user, "user.login", user)
