"""Which version answers. One prepared table a model; a choice is a look-up, never a scan of the spec.

The order of reasons: a client that pins gets what it pins (a number, or an alias); else the first rule that matches;
else the weights in force. Under weights a point in [0, 1) falls into the interval of one version. The point is drawn
anew for each request, or is a hash of the client's key, so that every gateway gives a key the same version.

The canary's interval comes first and starts at 0: raising its percent then only adds keys to it and moves nobody back.
"""

from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b

from msgspec import Struct

from inference.errors import NotReady, VersionNotFound
from inference.spec import Assignment, ModelSpec, Weight
from inference.status import Effective

PINNED, ALIAS, RULE, WEIGHTED, STICKY = "pinned", "alias", "rule", "weighted", "sticky"
POINTS = 2.0**64


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
    salt: bytes

    @property
    def known(self) -> str:
        return ", ".join(self.pins)


def prepare(spec: ModelSpec, effective: Effective | None) -> RoutingTable:
    """The table of `spec` under the weights in force: the controller's, or without one the spec's own."""
    live = {version.number for version in spec.versions}
    weights = usable(effective.weights if effective else spec.traffic.weights, live)
    if not weights:
        weights = usable(spec.traffic.weights, live)
    ordered = canary_first(weights, spec)
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
        salt=salt.encode(),
    )


def usable(weights: tuple[Weight, ...], live: set[int]) -> tuple[Weight, ...]:
    return tuple(weight for weight in weights if weight.percent > 0 and weight.version in live)


def canary_first(weights: tuple[Weight, ...], spec: ModelSpec) -> list[Weight]:
    """The rollout's canary, then the newest version, … and stable last."""
    canary = spec.rollout.canary if spec.rollout else None
    stable = spec.rollout.stable if spec.rollout else spec.aliases.get("stable")
    return sorted(weights, key=lambda weight: (weight.version == stable, weight.version != canary, -weight.version))


def sticky_point(salt: bytes, key: str) -> float:
    """A key's place in [0, 1): the same in every gateway, unrelated to its place under another salt."""
    digest = blake2b(key.encode(), digest_size=8, key=salt[:64]).digest()
    return int.from_bytes(digest, "little") / POINTS


def choose_version(table: RoutingTable, facts: Facts, u: float) -> Choice:
    """Say which version answers and why. `u` in [0, 1) is the chance of this request.

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
    if table.by_key:
        key = facts.canary_key or facts.api_key
        if key:
            return table.sticky[place(table.bounds, sticky_point(table.salt, key))]
    if len(weighted) == 1:
        return weighted[0]
    return weighted[place(table.bounds, u)]


def place(bounds: tuple[float, ...], point: float) -> int:
    return min(bisect_right(bounds, point), len(bounds) - 1)  # the last bound may round to just under 1
