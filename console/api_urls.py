"""The REST tree under /api/v1/: one line an app."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
