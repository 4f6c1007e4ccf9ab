"""REST of models, versions, aliases and uploads."""

from django.urls import path

from console.registry.api import models, uploads, versions

VERSION = "models/<str:slug>/versions/<int:number>"

urlpatterns = [
    path("models/", models.Models.as_view()),
    path("models/<str:slug>/", models.OneModel.as_view()),
    path("models/<str:slug>:restore", models.RestoreModel.as_view()),
    path("models/<str:slug>/aliases/", models.Aliases.as_view()),
    path("models/<str:slug>/aliases/<str:name>/", models.OneAlias.as_view()),
    path("models/<str:slug>/versions/", versions.Versions.as_view()),
    path(f"{VERSION}/", versions.OneVersion.as_view()),
    path(f"{VERSION}:verify", versions.VerifyVersion.as_view()),
    path(f"{VERSION}:warm", versions.WarmVersion.as_view()),
    path(f"{VERSION}:release", versions.ReleaseVersion.as_view()),
    path(f"{VERSION}:archive", versions.ArchiveVersion.as_view()),
    path(f"{VERSION}:restore", versions.RestoreVersion.as_view()),
    path(f"{VERSION}:export", versions.ExportVersion.as_view()),
    path(f"{VERSION}/artifact", versions.VersionArtifact.as_view()),
    path("uploads/", uploads.Uploads.as_view()),
    path("uploads/<str:pk>/", uploads.OneUpload.as_view()),
    path("uploads/<str:pk>:complete", uploads.CompleteUpload.as_view()),
]
