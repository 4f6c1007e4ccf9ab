"""A request with more rows than a batch of its unit holds: cut, batched like any other, and joined again in order.

All parts or none: the first that fails takes the others back. They wait as so many requests, so that the queue's bound
holds, and under one deadline.
"""

import asyncio
from collections.abc import Sequence

from inference.errors import BadInput
from inference.gateway.batcher import UnitQueue
from inference.gateway.work import UnitAnswer
from inference.protocol.messages import Tensor
from inference.protocol.rows import cut, join

MAX_PARTS = 64


async def submit_in_parts(
    queue: UnitQueue, tensors: Sequence[Tensor], rows: int, deadline_s: float, priority: int
) -> UnitAnswer:
    """As `queue.submit`. Raises BadInput for more than MAX_PARTS batches."""
    sizes = part_sizes(rows, queue.unit.batch.max_size)
    if len(sizes) > MAX_PARTS:
        raise BadInput(
            f"The request has {rows} rows; {queue.key} takes at most {MAX_PARTS} batches of "
            f"{queue.unit.batch.max_size} from one. Split it."
        )
    columns = [cut(tensor, sizes) for tensor in tensors]
    parts = [
        queue.loop.create_task(queue.submit([column[place] for column in columns], size, deadline_s, priority))
        for place, size in enumerate(sizes)
    ]
    try:
        answers = await asyncio.gather(*parts)
    finally:
        for part in parts:
            part.cancel()
    return UnitAnswer(
        tensors=[join(column) for column in zip(*(answer.tensors for answer in answers), strict=True)],
        queue_s=max(answer.queue_s for answer in answers),
        compute_s=max(answer.compute_s for answer in answers),
        compute_share_ns=sum(answer.compute_share_ns for answer in answers),
        tokens=sum(answer.tokens for answer in answers),
    )


def part_sizes(rows: int, most: int) -> list[int]:
    """As few parts as can be, of nearly equal sizes: so idle replicas share them evenly."""
    count = -(-rows // most)
    return [rows * (place + 1) // count - rows * place // count for place in range(count)]
