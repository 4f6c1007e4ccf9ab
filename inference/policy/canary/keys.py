"""Which keys have been evidence already: exact while they are few, a fixed-size sample of all keys when they are many.

Under sticky routing a key is evidence once. To know that, its hash has to be remembered, and a rollout may meet more
keys than anyone wants to keep. So, as SHARDS does for caches (Waldspurger et al., FAST 2015), only keys whose hash lies
under a bound are evidence; the bound starts at everything and is halved whenever `MOST` keys are held. The hash is
unrelated to the one that routes, so a sampled key is on the canary with the same chance as any other: sampling costs
evidence, at most about half of what would still come in, and never validity.
"""

from hashlib import blake2b

from msgspec import Struct

MOST = 16_384  # keys: 128 KiB as they are sent
ALL = 1 << 64


def key_hash(key: str) -> int:
    """64 bits that have nothing to do with the key's place under any salt (`routing.sticky_point` is keyed)."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, person=b"evidence").digest()
    return int.from_bytes(digest, "little")


class KeysSeen(Struct):
    held: set[int] = set()
    bound: int = ALL - 1  # hashes over it are not evidence
    most: int = MOST

    def first(self, key: int) -> bool:
        """Whether this key (a hash of 64 bits) is evidence now: sampled, and not seen before."""
        if key > self.bound or key in self.held:
            return False
        self.held.add(key)
        if len(self.held) >= self.most:
            self.halve()
        return True

    def check_merge(self, other: "KeysSeen") -> None:
        """Raise ValueError for a key that both have seen: which was its first can no longer be told."""
        common = len(self.held & other.held)
        if common:
            raise ValueError(f"{common} keys were counted on both sides. Send a key's outcomes to one place.")

    def merge(self, other: "KeysSeen") -> None:
        """Add the keys of a disjoint stream."""
        self.bound = min(self.bound, other.bound)
        self.held = {key for key in self.held | other.held if key <= self.bound}
        if len(self.held) >= self.most:
            self.halve()

    def halve(self) -> None:
        while len(self.held) >= self.most and self.bound:
            self.bound //= 2
            self.held = {key for key in self.held if key <= self.bound}
