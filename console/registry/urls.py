from django.urls import path

from console.registry.views import aliases, models, search, upload, versions

VERSION = "models/<str:slug>/versions/<int:number>"

urlpatterns = [
    path("search/", search.search, name="search"),
    path("models/", models.models, name="models"),
    path("models/+new/", models.new_model, name="new_model"),
    path("models/<str:slug>/", models.model, name="model"),
    path("models/<str:slug>/edit/", models.edit_model, name="edit_model"),
    path("models/<str:slug>/archive/", models.archive, name="archive_model"),
    path("models/<str:slug>/restore/", models.restore, name="restore_model"),
    path("models/<str:slug>/upload/", upload.upload, name="upload"),
    path("models/<str:slug>/aliases/", aliases.place, name="place_alias"),
    path("models/<str:slug>/aliases/<str:name>/remove/", aliases.remove, name="remove_alias"),
    path(f"{VERSION}/", versions.version, name="version"),
    path(f"{VERSION}/stable/", versions.set_stable, name="set_stable"),
    path(f"{VERSION}/load/", versions.load, name="load_version"),
    path(f"{VERSION}/unload/", versions.unload, name="unload_version"),
    path(f"{VERSION}/notes/", versions.notes, name="version_notes"),
    path(f"{VERSION}/archive/", versions.archive, name="archive_version"),
    path(f"{VERSION}/delete/", versions.delete, name="delete_version"),
]
