"""Spatial sampling: all requests for some keys instead of some requests for all keys.

SHARDS (Waldspurger et al., FAST 2015): a key is in the sample if its hash falls under a threshold, so that what is seen
of it is seen whole. A cache a k-th as large that is asked for a k-th of the keys hits about as often as the whole one
(Waldspurger et al., "miniature simulation", ATC 2017). Rates are powers of a half: the sample of a smaller rate lies in
that of a larger one, and lowering the rate only drops keys.
"""


def sampled(key: int, mask: int) -> bool:
    """Whether `key` belongs to the sample of rate 1 / (`mask` + 1); `mask` is a power of two less one.

    Python mixes the integers of a tuple well (xxHash) and alike in every process. Code where each nanosecond counts
    has this expression inline.
    """
    return not hash((key,)) & mask
