"""Whether to look for work again and again for a moment before going to sleep.

To be woken costs more than the work of a small request: the core has halted, its caches have gone cold, and on a
virtual machine the hypervisor has a say. A process that keeps looking starts warm, at the price of a core that would
have been idle. So it looks only while waits have lately been short, and never longer than one short wait: when traffic
stops, one such moment is wasted and then it sleeps. The same trade as KVM's adaptive halt polling.
"""

MOST_S = 0.01  # however long was asked for: a core is burnt meanwhile
MEMORY = 15 / 16  # of the share of short waits, a wait
WORTH = 0.5  # from this share of short waits on


class Polling:
    """What is known of one process's waits. Owned by its loop; has no clock.

    A wait that ends within `longest_s` is short: several times what a wake-up costs. 0: never look twice.
    """

    def __init__(self, longest_s: float):
        self.longest_s = min(longest_s, MOST_S)
        self.short = 0.0  # share of late

    def ended(self, wait_s: float) -> None:
        """A wait for work took so long."""
        self.short = MEMORY * self.short + (1 - MEMORY) * (wait_s <= self.longest_s)

    @property
    def patience_s(self) -> float:
        """How long to keep looking in the wait that begins now."""
        return self.longest_s if self.short > WORTH else 0.0
