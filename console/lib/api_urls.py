"""REST of the system itself."""

from django.urls import path
from drf_spectacular.views import SpectacularJSONAPIView

from console.lib.api import Health, Info, Root

urlpatterns = [
    path("", Root.as_view()),
    path("schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("system/health/", Health.as_view()),
    path("system/info/", Info.as_view()),
]
