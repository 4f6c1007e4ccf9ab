"""What a console service raises when it refuses. Which HTTP status each becomes stands in `api_errors.STATUS`.

A message says what was asked, what is so and what to do next; `code` is stable, clients match on it.
An app derives its own from the nearest of these and gets the status of that one.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One field of a request that cannot be right; `pointer` is a JSON pointer into the body."""

    pointer: str
    code: str
    detail: str


class ConsoleError(Exception):
    code = "internal"

    @property
    def detail(self) -> str:
        return str(self)

    def extras(self) -> dict[str, Any]:
        """Further members of the problem document."""
        return {}


class Invalid(ConsoleError):
    """Well-formed, but not a request that can be met; `faults` says which fields and why."""

    code = "invalid"

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()):
        super().__init__(message)
        self.faults = faults

    @classmethod
    def field(cls, name: str, detail: str, code: str = "invalid") -> "Invalid":
        return cls(detail, (Fault(pointer=f"/{name}", code=code, detail=detail),))

    def extras(self) -> dict[str, Any]:
        return {"errors": [vars(fault) for fault in self.faults]} if self.faults else {}


class UnknownParameter(Invalid):
    code = "unknown_parameter"


class NotAllowed(ConsoleError):
    """The actor lacks the right. `required_role` says who has it."""

    code = "forbidden"

    def __init__(self, message: str, required_role: str = ""):
        super().__init__(message)
        self.required_role = required_role

    def extras(self) -> dict[str, Any]:
        return {"required_role": self.required_role} if self.required_role else {}


class Missing(ConsoleError):
    code = "not_found"


class Conflict(ConsoleError):
    code = "conflict"


class AlreadyExists(Conflict):
    code = "already_exists"


class InvalidTransition(Conflict):
    code = "invalid_transition"

    def __init__(self, message: str, allowed: tuple[str, ...] = ()):
        super().__init__(message)
        self.allowed = allowed

    def extras(self) -> dict[str, Any]:
        return {"allowed": list(self.allowed)}


class StaleWrite(ConsoleError):
    """Someone else changed it since it was read. `current` is what it is now, for the answer's body."""

    code = "version_conflict"

    def __init__(self, message: str, current: Any = None):
        super().__init__(message)
        self.current = current

    def extras(self) -> dict[str, Any]:
        return {"current": self.current} if self.current is not None else {}


class PreconditionMissing(ConsoleError):
    code = "precondition_required"


class TooLarge(ConsoleError):
    code = "too_large"


class StorageFull(ConsoleError):
    code = "storage_full"


class BadGateway(ConsoleError):
    """What the data plane said is no answer."""

    code = "bad_gateway"


class GatewayTimeout(ConsoleError):
    code = "gateway_timeout"


class Busy(ConsoleError):
    """Worth another try after `retry_after_s`."""

    code = "busy"

    def __init__(self, message: str, retry_after_s: int = 1):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InFlight(Busy):
    code = "request_in_flight"


class RateLimited(Busy):
    code = "rate_limited"


class NotReady(Busy):
    """Something that this needs is away; `dependency` names it."""

    code = "not_ready"

    def __init__(self, message: str, dependency: str, retry_after_s: int = 2):
        super().__init__(message, retry_after_s)
        self.dependency = dependency

    def extras(self) -> dict[str, Any]:
        return {"dependency": self.dependency}
