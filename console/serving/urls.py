from django.urls import path

from console.serving.views import playground, traffic

urlpatterns = [
    path("playground/", playground.playground, name="playground"),
    path("models/<str:slug>/traffic/", traffic.set_traffic, name="set_traffic"),
]
