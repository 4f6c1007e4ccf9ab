"""The deployment itself: versions, health, demo data."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def show(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/system.html", {"section": "system"})
