"""REST of long work and of the demo."""

from django.urls import path

from console.jobs import api

urlpatterns = [
    path("operations/", api.Operations.as_view()),
    path("operations/<str:pk>/", api.OneOperation.as_view()),
    path("system/demo/", api.Demo.as_view()),
    path("system/demo:traffic", api.DemoTraffic.as_view()),
]
