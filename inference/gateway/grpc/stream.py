"""ModelStreamInfer: many inferences on one call. They run side by side; their answers go out in the order they came."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from inference.errors import NotReady
from inference.gateway.grpc.caller import Caller

MAX_IN_STREAM = 64  # requests in hand; more are not read, so the client is slowed down

Infer = Callable[[bytes, Caller], Awaitable[bytes]]


class InferStream:
    def __init__(self, infer: Infer, caller: Caller):
        self.infer = infer
        self.caller = caller
        self.room = asyncio.Semaphore(MAX_IN_STREAM)
        self.answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()  # bounded by `room`
        self.reader: asyncio.Task[None] | None = None
        self.ended = False

    async def run(self) -> None:
        """Until the client has sent all and read all, hangs up (then this is cancelled), or `end` is called."""
        async with asyncio.TaskGroup() as group:
            self.reader = group.create_task(self.read(group))
            while (task := await self.answers.get()) is not None:
                await self.caller.context.write(await task)
                self.room.release()
        if self.ended:
            self.caller.refuse(NotReady("This gateway is shutting down; open the stream anew."))

    async def read(self, group: asyncio.TaskGroup) -> None:
        try:
            while True:
                await self.room.acquire()
                body = await self.caller.context.read()
                if body is grpc.aio.EOF:
                    break
                self.answers.put_nowait(group.create_task(self.answer(body)))
        finally:
            self.answers.put_nowait(None)

    async def answer(self, body: bytes) -> bytes:
        return await self.infer(body, self.caller)

    def end(self) -> None:
        """Read no more; what was read is answered."""
        self.ended = True
        if self.reader is not None:
            self.reader.cancel()
