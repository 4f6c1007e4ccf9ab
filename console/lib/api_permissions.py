"""DRF's side of rights: which right a request needs, by method and view."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from console.lib.errors import NotAllowed
from console.lib.permissions import can, why_not
from console.lib.rights import OPERATE, READ, least_role


class HasRight(BasePermission):
    """Reading needs `read`; everything else the view's `write_right`, or its `rights` by method."""

    def has_permission(self, request: Request, view: Any) -> bool:
        right = needed_right(request.method or "GET", view)
        if can(request.user, right):
            return True
        if not request.user or not request.user.is_authenticated:
            return False  # DRF turns this into 401
        raise NotAllowed(why_not(request.user, right), required_role=least_role(right))


def needed_right(method: str, view: Any) -> str:
    by_method: dict[str, str] = getattr(view, "rights", {})
    if method in by_method:
        return by_method[method]
    if method in SAFE_METHODS:
        return getattr(view, "read_right", READ)
    return getattr(view, "write_right", OPERATE)
