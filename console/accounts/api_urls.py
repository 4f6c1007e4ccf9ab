"""REST of people, keys and the record."""

from django.urls import path

from console.accounts.api import audit, keys, me, people

urlpatterns = [
    path("me/", me.Me.as_view()),
    path("me/preferences/", me.Preferences.as_view()),
    path("api-keys/", keys.ApiKeys.as_view()),
    path("api-keys/<int:pk>/", keys.OneApiKey.as_view()),
    path("api-keys/<int:pk>:rotate", keys.RotateApiKey.as_view()),
    path("users/", people.Users.as_view()),
    path("users/<int:pk>/", people.OneUser.as_view()),
    path("roles/", people.Roles.as_view()),
    path("audit/", audit.Audit.as_view()),
    path("audit/chain/", audit.AuditChain.as_view()),
    path("audit/<str:pk>/", audit.OneAuditEvent.as_view()),
]
