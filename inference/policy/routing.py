"""Which version answers. One prepared table a model; a choice is a look-up, never a scan of the spec.

The order of reasons: a client that pins gets what it pins (a number, or an alias); else the first rule that matches;
else the weights in force. Under weights a point in [0, 1) falls into the interval of one version. The point is drawn
anew for each request, or is a hash of the client's key, so that every gateway gives a key the same version.

The canary's interval starts at 0 and grows upward, stable lies after it, other versions lie at the top end. Raising the
canary's percent then only takes keys from stable: it moves nobody back, and nobody between the other versions.
"""

from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from math import inf
from zlib import crc32

from msgspec import Struct

from inference.errors import NotReady, VersionNotFound
from inference.spec import Assignment, ModelSpec, Weight
from inference.status import Effective

PINNED, ALIAS, RULE, WEIGHTED, STICKY = "pinned", "alias", "rule", "weighted", "sticky"
POINTS = 2.0**64
BITS = (1 << 64) - 1
MIX_1, MIX_2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53  # odd; the multipliers of MurmurHash3's finaliser


class Facts(Struct, gc=False):
    """What a choice may depend on."""

    pinned: str = ""  # integer or alias, from the path or X-Model-Version
    canary_key: str = ""  # X-Canary-Key
    api_key: str = ""  # id of the caller's key
    headers: Mapping[bytes, bytes] = {}  # names in lower case


class Choice(Struct, frozen=True, gc=False):
    version: int
    reason: str


class PreparedRule(Struct, frozen=True):
    choice: Choice
    header: bytes
    equals: bytes
    api_key: str

    def matches(self, facts: Facts) -> bool:
        if self.api_key and self.api_key != facts.api_key:
            return False
        return not self.header or facts.headers.get(self.header) == self.equals


class RoutingTable(Struct, frozen=True):
    """A model's spec and effective, turned into look-ups. Made once a change, read once a request."""

    model: str
    pins: dict[str, Choice]
    rules: tuple[PreparedRule, ...]
    bounds: tuple[float, ...]  # upper ends of the weight intervals, scaled to 1
    weighted: tuple[Choice, ...]  # one a bound
    sticky: tuple[Choice, ...]
    by_key: bool
    salt: int  # 64 bits, mix_salt()

    @property
    def known(self) -> str:
        return ", ".join(self.pins)


def prepare(spec: ModelSpec, effective: Effective | None) -> RoutingTable:
    """The table of `spec` under the weights in force: the controller's, or without one the spec's own.

    Weights need not sum to 100: they are shares of their sum. One that is not a positive finite number gets nothing.
    """
    live = {version.number for version in spec.versions}
    weights = usable(effective.weights if effective else spec.traffic.weights, live)
    if not weights:
        weights = usable(spec.traffic.weights, live)
    ordered = lay_out(weights, spec)
    total = sum(weight.percent for weight in ordered)
    bounds, upto = [], 0.0
    for weight in ordered:
        upto += weight.percent
        bounds.append(upto / total)
    pins = {str(number): Choice(number, PINNED) for number in sorted(live)}
    pins.update((alias, Choice(number, ALIAS)) for alias, number in spec.aliases.items() if number in live)
    salt = (effective.salt if effective and effective.salt else spec.traffic.salt) or spec.name
    return RoutingTable(
        model=spec.name,
        pins=pins,
        rules=tuple(
            PreparedRule(Choice(rule.version, RULE), rule.header.lower().encode(), rule.equals.encode(), rule.api_key)
            for rule in spec.traffic.rules
            if rule.version in live and (rule.header or rule.api_key)
        ),
        bounds=tuple(bounds),
        weighted=tuple(Choice(weight.version, WEIGHTED) for weight in ordered),
        sticky=tuple(Choice(weight.version, STICKY) for weight in ordered),
        by_key=spec.traffic.assignment is Assignment.KEY,
        salt=mix_salt(salt),
    )


def usable(weights: tuple[Weight, ...], live: set[int]) -> tuple[Weight, ...]:
    return tuple(weight for weight in weights if 0.0 < weight.percent < inf and weight.version in live)


def lay_out(weights: tuple[Weight, ...], spec: ModelSpec) -> list[Weight]:
    """The order of the intervals: the rollout's canary (without a rollout the newest version), stable, the others from
    new to old. Stable lies between those that change, so it alone gives and takes when one of its neighbours does.
    """
    if spec.rollout:
        first, stable = spec.rollout.canary, spec.rollout.stable
    else:
        stable = spec.aliases.get("stable", 0)
        first = max((weight.version for weight in weights if weight.version != stable), default=0)
    return sorted(weights, key=lambda weight: (weight.version != first, weight.version != stable, -weight.version))


def mix_salt(salt: str) -> int:
    return int.from_bytes(blake2b(salt.encode(), digest_size=8).digest(), "little")


def sticky_point(salt: int, key: str) -> float:
    """A key's place in [0, 1): the same in every gateway, unrelated to its place under another salt.

    A checksum, because a cryptographic hash would cost a microsecond more; the two multiplications with a shift between
    them break its linearity, by which otherwise the same users would meet in every canary.
    """
    mixed = (crc32(key.encode("utf-8", "surrogatepass")) ^ salt) * MIX_1 & BITS
    return ((mixed ^ mixed >> 32) * MIX_2 & BITS) / POINTS


def choose_version(table: RoutingTable, facts: Facts, u: float) -> Choice:
    """Say which version answers and why. `u` in [0, 1) is the chance of this request; what lies outside counts as the
    nearest end, and NaN as the upper one.

    Raises VersionNotFound for a pin that is not live, NotReady while the model has no traffic.
    """
    if facts.pinned:
        choice = table.pins.get(facts.pinned) or table.pins.get(facts.pinned.lower())
        if choice is None:
            raise VersionNotFound(table.model, facts.pinned, table.known)
        return choice
    for rule in table.rules:
        if rule.matches(facts):
            return rule.choice
    weighted = table.weighted
    if not weighted:
        raise NotReady(
            f"Model {table.model!r} has no version with traffic yet. Set its stable version, or call "
            f"/v2/models/{table.model}/versions/N.",
            retry_after_s=5.0,
        )
    last = len(weighted) - 1  # the last bound may round to just under 1, so nobody may look beyond it
    if table.by_key:
        key = facts.canary_key or facts.api_key
        if key:
            return table.sticky[bisect_right(table.bounds, sticky_point(table.salt, key), 0, last)]
    return weighted[bisect_right(table.bounds, u, 0, last)]
