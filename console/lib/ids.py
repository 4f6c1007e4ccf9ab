"""ULIDs: 48 bits of milliseconds, 80 of chance, in Crockford's base 32. They sort by time, as text, everywhere."""

import secrets
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26


def new_ulid(at_s: float | None = None) -> str:
    milliseconds = int((time.time() if at_s is None else at_s) * 1000)
    number = (milliseconds << 80) | secrets.randbits(80)
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
