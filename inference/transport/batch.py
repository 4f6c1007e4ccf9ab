"""One batch that a worker has in hand, and what answering it took."""

from msgspec import Struct, field

from inference.transport.connection import Connection
from inference.transport.frames import Item, TensorHead


class Batch(Struct, eq=False):
    """One DATA frame in hand."""

    connection: Connection
    number: int
    items: list[Item]
    body: memoryview
    arrived_s: float
    cancelled: set[int] = field(default_factory=set)
    joined: list[TensorHead] = []  # of all items end to end; their own are then none


class Timings(Struct):
    collate_ns: int = 0
    infer_ns: int = 0
    split_ns: int = 0
