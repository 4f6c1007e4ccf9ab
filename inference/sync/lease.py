"""The lease: at most one controller acts, and what an older one still writes is refused by its number.

Two locks, for two dangers. The node's file lock keeps two controllers of one data folder apart; the kernel frees it
when its holder ends, however it ends, so a successor need not wait. The lease in Redis keeps the controllers of several
machines apart; it expires. Each time it is taken the *fence* rises, and every document carries it: readers refuse a
lower one, so a controller that slept through its lease can do no harm.
"""

import fcntl
import secrets
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from inference.log import get_log
from inference.status import FENCE, LEASE
from inference.sync.files import write_atomically

log = get_log()

TTL_S = 5.0
LOCK, RECORD = "controller.lock", "controller.seat"

# One step each, so that nobody renews or takes what another just took. KEYS: LEASE, FENCE.
# Take: ARGV holder, TTL in ms, least fence. Answers the fence, or 0 while another holds the lease. The same holder may
# take it again (its predecessor on the node is dead: the file lock says so). The fence never falls, not even in a Redis
# that came back empty: it starts above the highest one that the node's own documents carry.
TAKE = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^(.*)/') ~= ARGV[1] then return 0 end
local fence = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[3])) + 1
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], ARGV[1] .. '/' .. fence, 'PX', ARGV[2])
return fence
"""
# Renew and release: ARGV holder/fence, TTL in ms. Answers 1, or 0 when the lease is no longer this one.
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Lease:
    """The lease in Redis. All methods raise what the Redis client raises when Redis is away."""

    def __init__(self, client: Redis, holder: str, ttl_s: float = TTL_S):
        self.client = client
        self.holder = holder
        self.ttl_ms = int(ttl_s * 1000)
        self.fence = 0  # of the lease we hold; 0: none

    @property
    def held(self) -> bool:
        return self.fence > 0

    async def take(self, least_fence: int = 0) -> bool:
        """Try to become the one that acts. `least_fence`: the highest that any document on this node carries."""
        answer = await self.client.eval(TAKE, 2, LEASE, FENCE, self.holder, self.ttl_ms, least_fence)
        self.fence = int(answer)
        return self.held

    async def renew(self) -> bool:
        """Hold on; False when the lease is another's, or gone with a Redis that forgot. It is then no longer held."""
        kept = await self.client.eval(RENEW, 1, LEASE, f"{self.holder}/{self.fence}", self.ttl_ms)
        if not kept:
            self.fence = 0
        return self.held

    async def release(self) -> None:
        """Let another take it at once."""
        if self.held:
            mine, self.fence = f"{self.holder}/{self.fence}", 0
            await self.client.eval(RELEASE, 1, LEASE, mine)


class NodeLock:
    """The one controller of a data folder. Held until the process ends or `release`."""

    def __init__(self, folder: Path):
        self.path = folder / LOCK
        self.file: IO[bytes] | None = None

    def take(self) -> bool:
        if self.file is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self.file = file
        return True

    def release(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class SeatRecord(Struct):
    """What a node remembers of its controllers: the name they hold leases under, and the last fence one of them had."""

    holder: str
    fence: int = 0


def read_record(folder: Path) -> SeatRecord:
    """The node's record, made with a fresh name where there is none. Call under the NodeLock."""
    path = folder / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=SeatRecord)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("controller_record_replaced", path=str(path), error=str(error))
    record = SeatRecord(secrets.token_hex(8))
    write_record(folder, record)
    return record


def write_record(folder: Path, record: SeatRecord) -> None:
    """A full disk must leave no pool without its controller: documents and Redis know the fence too."""
    try:
        write_atomically(folder / RECORD, msgspec.json.encode(record))
    except OSError as error:
        log.error("controller_record_not_written", path=str(folder / RECORD), error=str(error))
