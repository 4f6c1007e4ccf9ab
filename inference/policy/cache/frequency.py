"""How often a key was asked for lately: what W-TinyLFU decides by.

Exact counts in two generations, where the paper has a count-min sketch that is halved at intervals (Einziger, Friedman,
Manes, "TinyLFU", 2017): in Python one dictionary is faster than four hashed rows, no keys collide, and forgetting is
the exchange of a reference instead of a pass over the table. The older generation counts half. Up to
2 · `KEYS` keys a resident are held, some 100 bytes each.
"""

KEYS = 4  # a resident, after which a new generation begins; two are about the paper's sample of ten times the cache


class Frequency:
    def __init__(self) -> None:
        self.young: dict[int, int] = {}
        self.old: dict[int, int] = {}

    def age(self) -> None:
        self.old = self.young
        self.young = {}
