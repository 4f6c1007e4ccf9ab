"""What can end an item, or the whole worker, besides a bad input."""

from inference.errors import Failed, SwitchyardError


class Cancelled(SwitchyardError):
    """Nobody waits for this item any more."""

    code = "cancelled"


class DeviceLost(Failed):
    """The device is broken for this process: every later run would fail too. The worker ends and is started anew."""

    code = "device_lost"


def is_device_lost(error: BaseException | None) -> bool:
    """A CUDA error other than "out of memory" poisons the context: nothing runs in this process after it."""
    while error is not None:
        kind = type(error).__name__
        if kind == "AcceleratorError" or (kind != "OutOfMemoryError" and "CUDA error" in str(error)):
            return True
        error = error.__cause__
    return False
