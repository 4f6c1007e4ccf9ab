"""Inputs that killed a worker twice. They are refused for a while instead of killing the next one."""

from hashlib import sha256

from inference.errors import PoisonInput
from inference.protocol.messages import Tensor

QUARANTINE_S = 600.0
MOST = 1_000


class Quarantine:
    """Digests of inputs with the time their sentence ends. Costs nothing on the request path while it is empty."""

    def __init__(self) -> None:
        self.until_s: dict[bytes, float] = {}

    def add(self, digest: bytes, now_s: float) -> None:
        if len(self.until_s) >= MOST:
            self.until_s.pop(next(iter(self.until_s)))  # the oldest: dicts keep order
        self.until_s[digest] = now_s + QUARANTINE_S

    def left_s(self, digest: bytes, now_s: float) -> float:
        """Seconds left of the sentence; 0 for the innocent."""
        until_s = self.until_s.get(digest)
        if until_s is None:
            return 0.0
        if until_s <= now_s:
            del self.until_s[digest]
            return 0.0
        return until_s - now_s

    def __bool__(self) -> bool:
        return bool(self.until_s)


def digest_inputs(unit_key: str, tensors: list[Tensor]) -> bytes:
    """What makes two inputs of a unit the same: names, datatypes, shapes and bytes."""
    digest = sha256(unit_key.encode())
    for tensor in tensors:
        digest.update(repr((tensor.name, tensor.datatype, tensor.shape, len(tensor.data))).encode())
        digest.update(tensor.data)
    return digest.digest()


def poison_input(unit_key: str, left_s: float) -> PoisonInput:
    return PoisonInput(
        f"This input made a worker of {unit_key} die twice and is refused for {left_s:.0f} s. Other inputs are served.",
        retry_after_s=left_s,
    )
