"""What serving costs, and who pays for it: price × metered replica-seconds, split to the last nano-unit.

A replica is metered from the moment its start is asked for until it has ended, whatever it does. What it did in that
time is said by `Usage`s; each becomes a `Line`:

    COMPUTE  a batch's time in the model, shared out to the requests in it by their compute (rows, tokens)
    RETRY    the same, for work that was done and thrown away: its worker died, and the requests ran again elsewhere
    WARM_UP  from the start until it could take work
    IDLE     the rest. Nobody asked for it, so no key pays for it; it is the price of being ready

Money is whole nano-units of a currency, time whole nanoseconds, and nothing is rounded twice: what a second cannot pay
in whole units is carried to the next (`Meter.carried`), and a sum is shared by the differences of its running totals
(`apportion`). So lines always add up to what was metered, over any number of batches, replicas and price changes.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import accumulate
from operator import index

from msgspec import Struct

NS_PER_HOUR = 3_600_000_000_000


class LineKind(str, Enum):
    COMPUTE = "compute"
    RETRY = "retry"
    WARM_UP = "warm_up"
    IDLE = "idle"


class Payer(Struct, frozen=True):
    """Whom a request's compute is charged to. `route` is how the request came to its version: a reason of routing
    (pinned, alias, rule, weighted, sticky), or `shadow`."""

    key: str = ""  # id of the API key; "" where keys are off
    route: str = ""


NOBODY = Payer()


class Share(Struct, frozen=True):
    """One request's part of a batch, in any whole unit that measures compute: rows, tokens, nanoseconds."""

    payer: Payer
    amount: int


class Usage(Struct, frozen=True):
    """What a replica spent `compute_ns` on. A batch of equals, or of unknown sizes, has equal amounts."""

    compute_ns: int
    shares: tuple[Share, ...] = ()  # of COMPUTE and RETRY; nobody's where empty
    kind: LineKind = LineKind.COMPUTE


class Line(Struct, frozen=True):
    """An amount and what it is for. The sum of all lines is the sum of all that was metered."""

    kind: LineKind
    model: str
    version: int
    unit: str
    payer: Payer
    nano: int


class Meter(Struct, frozen=True):
    """A replica's running account. The total never falls, and over any stretch of one price it is within one
    nano-unit of price × time."""

    model: str
    version: int
    unit: str
    metered_ns: int = 0
    total_nano: int = 0
    carried: int = 0  # of NS_PER_HOUR: the part of a nano-unit that is owed and not charged yet


def meter(account: Meter, elapsed_ns: int, nano_per_hour: int) -> tuple[Meter, int]:
    """The account after `elapsed_ns` more at a price, and what that costs.

    Raises ValueError for a time or price below zero: a clock that went back is the caller's to notice, for only it
    knows which of two readings was wrong. Raises TypeError for a float, NaN among them: money is whole.
    """
    if elapsed_ns < 0 or nano_per_hour < 0:
        raise ValueError(
            f"{elapsed_ns} ns at {nano_per_hour} nano-units an hour cannot be metered: neither may be below zero."
        )
    nano, carried = divmod(account.carried + index(elapsed_ns) * index(nano_per_hour), NS_PER_HOUR)
    after = Meter(
        account.model,
        account.version,
        account.unit,
        account.metered_ns + elapsed_ns,
        account.total_nano + nano,
        carried,
    )
    return after, nano


def apportion(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` ≥ 0 by whole weights ≥ 0 into parts that add up to it, each within one of its exact share.

    Part i is the rise of floor(amount · running weight / all weight): one pass, no sorting, no remainder left over.
    Equal parts where all weights are zero; nothing for nobody. Raises ValueError for anything below zero,
    TypeError for a float.
    """
    if amount < 0 or any(weight < 0 for weight in weights):
        raise ValueError(f"{amount} cannot be split by {list(weights)[:8]}: nothing of it may be below zero.")
    total = index(sum(weights))
    if not total:
        weights, total = [1] * len(weights), len(weights)
    parts, before = [], 0
    for running in accumulate(weights):
        upto = index(amount) * running // total
        parts.append(upto - before)
        before = upto
    return parts


def settle(account: Meter, elapsed_ns: int, nano_per_hour: int, usages: Sequence[Usage]) -> tuple[Meter, list[Line]]:
    """Charge a replica's last `elapsed_ns` to those it worked for. The lines add up to the rise of `total_nano`.

    Batches may overlap (a replica with two slots), and reports may say a little more than fits: then the whole time is
    shared in proportion and nothing is idle. A batch that ends in this stretch is charged in it, at its price. Raises
    ValueError for a time, price, compute or amount below zero.
    """
    after, nano = meter(account, elapsed_ns, nano_per_hour)
    used_ns = [usage.compute_ns for usage in usages]
    idle_ns = max(0, elapsed_ns - sum(used_ns))
    *parts, idle = apportion(nano, [*used_ns, idle_ns])

    def line(kind: LineKind, payer: Payer, part: int) -> Line:
        return Line(kind, account.model, account.version, account.unit, payer, part)

    lines = [line(LineKind.IDLE, NOBODY, idle)] if idle else []
    for usage, part in zip(usages, parts, strict=True):
        if usage.shares:
            pieces = apportion(part, [share.amount for share in usage.shares])
            lines += [
                line(usage.kind, share.payer, piece) for share, piece in zip(usage.shares, pieces, strict=True) if piece
            ]
        elif part:
            lines.append(line(usage.kind, NOBODY, part))
    return after, lines


def add_up(lines: Iterable[Line]) -> list[Line]:
    """One line for each thing that is charged, in the order of first appearance."""
    sums: dict[tuple[LineKind, str, int, str, Payer], int] = {}
    for line in lines:
        place = line.kind, line.model, line.version, line.unit, line.payer
        sums[place] = sums.get(place, 0) + line.nano
    return [Line(*place, nano) for place, nano in sums.items()]
