"""From answers by call to answers that somebody awaits."""

import asyncio
from typing import TypeVar

Result = TypeVar("Result")


def resolve(future: "asyncio.Future[Result]", result: Result | None, error: BaseException | None) -> None:
    """Let `future` have the outcome, unless whoever waited for it has gone."""
    if future.done():
        return
    if result is not None:
        future.set_result(result)
    elif error is not None:
        future.set_exception(error)
