"""The console's API against its own schema: generated requests, and no answer that the schema does not tell of."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import content_type_conformance, ignored_auth, status_code_conformance

from console.accounts.services import create_api_key

EXAMPLES = 4


@schemathesis.serializer("application/offset+octet-stream")
def send_bytes(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


def nothing_broke(_: Any, response: Any, case: Any) -> None:
    """503 says that something the console needs is away, as it is here; 500 is a fault of ours."""
    assert response.status_code != 500, f"{case.method} {case.path}: {response.text[:500]}"


CHECKS = (nothing_broke, status_code_conformance, content_type_conformance, ignored_auth)


def faults_of(operation: Any, headers: dict[str, str]) -> list[str]:
    """Ask it a few times, as the schema allows and as it does not."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    try:
        ask()
    except BaseExceptionGroup as error:
        return [f"{operation.label}: {one}" for one in error.exceptions]
    return []


@pytest.mark.django_db(transaction=True)
def test_answers_are_as_the_schema_says(live_server: Any, make_user: Any) -> None:
    found = []
    schema = schemathesis.openapi.from_url(f"{live_server.url}/api/v1/schema/")
    for number, result in enumerate(schema.get_all_operations()):
        # Somebody new for each: the one before may have been told to revoke keys, or to send people away.
        admin = make_user(f"admin{number}", "admin")
        key = create_api_key(actor=admin, name="all", scopes=["read", "infer", "operate", "rollout", "admin"])
        found += faults_of(result.ok(), {"Authorization": f"Bearer {key.secret}"})
    assert not found, "\n\n".join(found)
