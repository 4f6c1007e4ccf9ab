from django.urls import path

from console.fleet import views

urlpatterns = [
    path("workers/", views.workers, name="workers"),
    path("workers/<str:replica>/", views.worker, name="worker"),
]
