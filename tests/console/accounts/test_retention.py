"""What piles up by itself leaves by itself."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from console.accounts.models import LoginLink
from console.accounts.services import create_login_link
from console.lib.actors import SYSTEM
from console.lib.models import IdempotentAnswer
from console.telemetry.retention import delete_old

pytestmark = pytest.mark.django_db


def test_old_sessions_links_and_answers_leave_and_fresh_ones_stay(viewer):
    now = timezone.now()
    create_login_link(actor=SYSTEM, user=viewer)
    for age in (timedelta(0), timedelta(days=3)):
        Session.objects.create(session_key=f"s{age.days}", session_data="", expire_date=now + timedelta(days=1) - age)
        scope = {"principal": "user:1", "route": "/", "key": f"k{age.days}"}
        IdempotentAnswer.objects.create(**scope, body_sha256="", status=200, created_at=now - age)
    LoginLink.objects.create(user=viewer, sha256="old", expires_at=now - timedelta(days=3))
    assert delete_old(now.timestamp()) == 3
    assert Session.objects.get().session_key == "s0"
    assert IdempotentAnswer.objects.get().key == "k0"
    assert LoginLink.objects.count() == 1
