from django.urls import path

from console.accounts.views import audit, keys, login, people, profile, settings, system

urlpatterns = [
    path("login/<str:token>/", login.login_by_link, name="login_link"),
    path("audit/", audit.audit, name="audit"),
    path("settings/", settings.first_section),
    path("settings/theme/", profile.set_theme, name="set_theme"),
    path("settings/preferences/", profile.set_preferences, name="set_preferences"),
    path("settings/api-keys/<int:key_id>/rotate/", keys.rotate, name="rotate_key"),
    path("settings/api-keys/<int:key_id>/revoke/", keys.revoke, name="revoke_key"),
    path("settings/users/new/", people.create, name="create_user"),
    path("settings/users/<int:user_id>/", people.change, name="change_user"),
    path("settings/users/<int:user_id>/deactivate/", people.deactivate, name="deactivate_user"),
    path("settings/users/<int:user_id>/link/", people.make_login_link, name="user_login_link"),
    path("settings/demo/load/", system.load_demo, name="load_demo"),
    path("settings/demo/remove/", system.delete_demo, name="delete_demo"),
    path("settings/demo/traffic/", system.start_traffic, name="start_demo_traffic"),
    path("settings/demo/traffic/stop/", system.stop_traffic, name="stop_demo_traffic"),
    path("settings/<str:section>/", settings.settings, name="settings"),
]
