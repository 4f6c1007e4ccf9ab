"""REST of traffic, cache policy and the playground."""

from django.urls import path

from console.serving import api

urlpatterns = [
    path("models/<str:slug>:infer", api.Infer.as_view()),
    path("models/<str:slug>/traffic/", api.Traffic.as_view()),
    path("models/<str:slug>/traffic:set-stable", api.SetStable.as_view()),
    path("models/<str:slug>/cache-policy/", api.OneCachePolicy.as_view()),
]
