"""Questions whose answer says that a program is ready: each returns an async function to be asked again and again."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import redis.asyncio

from inference import status

Probe = Callable[[], Awaitable[bool]]
TIMEOUT_S = 2.0


async def at_once() -> bool:
    return True


def redis_answers(url: str) -> Probe:
    async def ask() -> bool:
        try:
            async with redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT_S) as client:
                return bool(await client.ping())
        except redis.RedisError:
            return False

    return ask


def controller_reports(url: str) -> Probe:
    """True once a controller has reported since this probe was made."""
    made_at = time.time()

    async def ask() -> bool:
        try:
            async with redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT_S) as client:
                raws = await client.hvals(status.CONTROLLER)
        except redis.RedisError:
            return False
        return any(msgspec.json.decode(raw, type=status.ControllerStatus).at_s >= made_at for raw in raws)

    return ask


def url_answers(url: str) -> Probe:
    async def ask() -> bool:
        return await asyncio.to_thread(fetch, urllib.request.Request(url)) == 200

    return ask


def model_answers(gateway_url: str, model: str, api_key: str) -> Probe:
    """True once the model answers one real request; it is asked only when ready, so a start leaves no refusals."""
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["ready?"]}]}

    is_ready = url_answers(f"{gateway_url}/v2/models/{model}/ready")

    async def ask() -> bool:
        if not await is_ready():
            return False
        request = urllib.request.Request(
            f"{gateway_url}/v2/models/{model}/infer",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
        )
        return await asyncio.to_thread(fetch, request) == 200

    return ask


def fetch(request: urllib.request.Request) -> int:
    """The HTTP status, or 0 where nobody answers."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def pool_changes(url: str) -> AsyncIterator[str]:
    """A line for each version that becomes ready or fails, and each worker that was lost."""
    seen: dict[str, status.ReplicaState] = {}
    async with redis.asyncio.Redis.from_url(url, socket_timeout=TIMEOUT_S) as client:
        while True:
            await asyncio.sleep(1.0)
            try:
                rows = await client.hvals(status.WORKERS)
            except redis.RedisError:
                continue
            for raw in rows:
                worker = msgspec.json.decode(raw, type=status.WorkerStatus)
                before = seen.get(worker.replica)
                seen[worker.replica] = worker.state
                if before == worker.state:
                    continue
                where = f"{worker.model} v{worker.version} ({worker.unit}) on {worker.device}"
                if worker.state is status.ReplicaState.READY:
                    yield f"{where} is ready"
                elif worker.state is status.ReplicaState.FAILED:
                    yield f"{where} failed: {worker.reason}"
