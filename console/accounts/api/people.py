"""People and roles."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.accounts.choices import ROLE_HELP, Role
from console.accounts.filters import UserFilter
from console.accounts.models import User
from console.accounts.selectors import get_user, list_users
from console.accounts.services import create_user, deactivate_user, update_user
from console.lib.actors import actor_of
from console.lib.api_docs import CONFLICT, IDEMPOTENCY_KEY, IF_MATCH, INVALID, NOT_FOUND, STALE
from console.lib.csv_export import CsvList
from console.lib.etag import check_match, etag_of, with_etag
from console.lib.idempotency import Idempotent
from console.lib.rights import ADMIN, ROLE_RIGHTS


class UserSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ("id", "username", "email", "role", "native", "is_active", "date_joined", "last_login", "row_version")
        read_only_fields = fields


class CreateUserSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=200, write_only=True)
    role = serializers.ChoiceField(Role.choices, default=Role.VIEWER)
    email = serializers.EmailField(default="", allow_blank=True)
    native = serializers.BooleanField(default=False)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class ChangeUserSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(Role.choices, required=False)
    email = serializers.EmailField(required=False, allow_blank=True)
    native = serializers.BooleanField(required=False)
    is_active = serializers.BooleanField(required=False)
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)


class RoleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    rights = serializers.ListField(child=serializers.CharField())


def describe_role(role: Role) -> dict[str, object]:
    rights = sorted(ROLE_RIGHTS[role])
    return {"name": role.value, "title": role.label, "description": ROLE_HELP[role], "rights": rights}


def etag(user: User) -> str:
    return etag_of("user", user.pk, user.row_version)


@extend_schema_view(get=extend_schema(summary="List people"))
class Users(Idempotent, CsvList[User]):
    queryset = User.objects.none()
    serializer_class = UserSerializer
    filterset_class = UserFilter
    read_right = ADMIN
    write_right = ADMIN

    def get_queryset(self) -> Any:
        return list_users()

    @extend_schema(
        summary="Make a user",
        parameters=[IDEMPOTENCY_KEY],
        request=CreateUserSerializer,
        responses={201: UserSerializer, **CONFLICT, **INVALID},
    )
    def post(self, request: Request) -> Response:
        given = CreateUserSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = create_user(actor=actor_of(request), **given.validated_data)
        response = Response(UserSerializer(user).data, status=201, headers={"Location": f"{request.path}{user.pk}/"})
        return with_etag(request, response, etag(user))


class OneUser(generics.GenericAPIView[User]):
    queryset = User.objects.none()
    read_right = ADMIN
    write_right = ADMIN

    @extend_schema(summary="Read one user", responses={200: UserSerializer, **NOT_FOUND})
    def get(self, request: Request, pk: int) -> Response:
        user = get_user(pk)
        return with_etag(request, Response(UserSerializer(user).data), etag(user))

    @extend_schema(
        summary="Change role, address, the native right, or whether they may log in",
        parameters=[IF_MATCH],
        request=ChangeUserSerializer,
        responses={200: UserSerializer, **NOT_FOUND, **CONFLICT, **STALE, **INVALID},
    )
    def patch(self, request: Request, pk: int) -> Response:
        user = get_user(pk)
        check_match(request, etag(user), lambda: UserSerializer(user).data)
        given = ChangeUserSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = update_user(actor=actor_of(request), user=user, seen=user.row_version, **given.validated_data)
        return with_etag(request, Response(UserSerializer(changed).data), etag(changed))

    @extend_schema(
        summary="Deactivate a user: sessions end, keys stop; the record keeps the name",
        parameters=[IF_MATCH],
        responses={204: None, **NOT_FOUND, **CONFLICT, **STALE},
    )
    def delete(self, request: Request, pk: int) -> Response:
        user = get_user(pk)
        check_match(request, etag(user), lambda: UserSerializer(user).data)
        deactivate_user(actor=actor_of(request), user=user, seen=user.row_version)
        return Response(status=204)


class Roles(APIView):
    @extend_schema(summary="List roles and their rights", responses={200: RoleSerializer(many=True)})
    def get(self, request: Request) -> Response:
        return Response(
            [
                {
                    "name": role.value,
                    "title": role.label,
                    "description": ROLE_HELP[role],
                    "rights": sorted(ROLE_RIGHTS[role]),
                }
                for role in Role
            ]
        )
