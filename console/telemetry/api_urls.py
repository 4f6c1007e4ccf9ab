from django.urls import path

from console.telemetry.api import MetricsQuery, SeriesList

urlpatterns = [
    path("metrics/series/", SeriesList.as_view(), name="metrics_series"),
    path("metrics/query/", MetricsQuery.as_view(), name="metrics_query"),
]
