"""Who am I, and how I like things."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.accounts.choices import Theme
from console.accounts.services import change_preferences
from console.accounts.services.people import PAGE_SIZES
from console.lib.actors import Actor, actor_of
from console.lib.errors import Invalid
from console.lib.rights import READ


class MeSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["user", "key"], source="actor_kind")
    id = serializers.CharField(source="actor_id")
    name = serializers.CharField(source="actor_name")
    rights = serializers.SerializerMethodField()
    person = serializers.CharField(source="person.username")
    role = serializers.CharField(source="person.role")

    def get_rights(self, actor: Actor) -> list[str]:
        return sorted(actor.rights)


class PreferencesSerializer(serializers.Serializer[Any]):
    theme = serializers.ChoiceField(Theme.choices, required=False)
    shortcuts = serializers.BooleanField(required=False)
    page_size = serializers.ChoiceField([(size, str(size)) for size in PAGE_SIZES], required=False)


class Me(APIView):
    @extend_schema(summary="Who this session or key is", responses={200: MeSerializer})
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(actor_of(request)).data)


class Preferences(APIView):
    """A person's own; a key has its owner's."""

    write_right = READ

    @extend_schema(summary="Read one's preferences", responses={200: PreferencesSerializer})
    def get(self, request: Request) -> Response:
        return Response(PreferencesSerializer(actor_of(request).person).data)

    @extend_schema(
        summary="Change one's preferences",
        request=PreferencesSerializer,
        responses={200: PreferencesSerializer},
    )
    def patch(self, request: Request) -> Response:
        given = PreferencesSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        if actor_of(request).actor_kind != "user":
            raise Invalid("Preferences belong to a person. Change them in a browser session.")
        return Response(
            PreferencesSerializer(change_preferences(user=actor_of(request).person, **given.validated_data)).data
        )
