"""What every operation of the OpenAPI document shares: the problem document and its codes."""

import inspect
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from console.lib.api_errors import every_code


class FaultSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="JSON pointer into the body, or ?name for a query parameter")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457, `application/problem+json`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable; clients may match on it")
    detail = serializers.CharField(help_text="What was asked, what is so, what to do next")
    instance = serializers.CharField()
    request_id = serializers.CharField()
    errors: Any = FaultSerializer(many=True, required=False)
    required_role = serializers.CharField(required=False, help_text="With 403")
    allowed = serializers.ListField(child=serializers.CharField(), required=False, help_text="With 409")
    current = serializers.JSONField(required=False, help_text="With 412: what is so now")
    dependency = serializers.CharField(required=False, help_text="With 503: what is away")


def list_codes(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: the codes of all apps, which are known only when all are loaded."""
    problem = result["components"]["schemas"].get("Problem")
    if problem:
        problem["properties"]["code"]["enum"] = sorted(every_code())
    return result


def problem_response(description: str) -> OpenApiResponse:
    return OpenApiResponse(ProblemSerializer, description=description)


# What every operation may answer; ConsoleSchema adds these where a view does not say so itself.
PROBLEMS: dict[Any, Any] = {
    (401, "application/problem+json"): problem_response("No session or key, or not a valid one"),
    (403, "application/problem+json"): problem_response("The right is missing; `required_role` has it"),
    (429, "application/problem+json"): problem_response("Too many requests; Retry-After"),
}
NOT_FOUND: dict[Any, Any] = {(404, "application/problem+json"): problem_response("There is no such thing")}
CONFLICT: dict[Any, Any] = {(409, "application/problem+json"): problem_response("Not in this state; see `allowed`")}
INVALID: dict[Any, Any] = {(422, "application/problem+json"): problem_response("`errors` says which fields and why")}
STALE: dict[Any, Any] = {
    (412, "application/problem+json"): problem_response("Changed meanwhile; `current` is what is so"),
    (428, "application/problem+json"): problem_response("If-Match is missing"),
}

UNNAMED: dict[Any, Any] = {(428, "application/problem+json"): problem_response("Idempotency-Key is missing")}

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="ETag of what the change is based on"
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER,
    description="A fresh UUID for each new request: a repeat with the same one gets the same answer",
)  # fmt: skip


class ConsoleSchema(AutoSchema):
    """Groups operations by the first part of their path, and gives each the answers that all have."""

    def get_description(self) -> str:
        """Of the operation alone: a view's docstring is for whoever reads its code."""
        method = getattr(self.view, self.method.lower(), None)
        return inspect.getdoc(method) or "" if method and method.__module__.startswith("console.") else ""

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for (status, media_type), response in self.problems().items():
            bodies.setdefault(str(status), self._get_response_for_code(response, str(status), [media_type]))
        return bodies

    def problems(self) -> dict[Any, Any]:
        """What follows from the shape of a request: a place or page may be empty, a body or a query may be wrong."""
        more = PROBLEMS
        if "{" in self.path or self._is_list_view():
            more = more | NOT_FOUND
        if self.method != "GET" or self._is_list_view():
            more = more | INVALID
        if self.method == "POST" and getattr(self.view, "idempotency_required", False):
            more = more | UNNAMED
        return more

    def get_tags(self) -> list[str]:
        parts = self.path.removeprefix("/api/v1/").strip("/").split("/")
        return [parts[0].split(":")[0] or "root"]
