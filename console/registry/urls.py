from django.urls import path

from console.registry.views import search

urlpatterns = [
    path("search/", search.search, name="search"),
]
