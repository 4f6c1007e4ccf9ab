"""REST of the fleet."""

from django.urls import path

from console.fleet import api

urlpatterns = [
    path("workers/", api.Workers.as_view()),
    path("workers/<str:pk>/", api.OneWorker.as_view()),
    path("pools/<str:name>/", api.OnePool.as_view()),
]
