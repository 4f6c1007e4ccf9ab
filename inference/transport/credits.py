"""Who may send a batch to this worker next: the ledger of its slots. Pure: time comes in, moves come out.

A slot is a batch that the worker holds, running or next in line. While one gateway is connected all slots rest with it,
so it never asks. With several, a credit rests with who used it last; one that has work and no credit says how much, and
gets the next free slot in turn, or a credit that rests unused elsewhere. A credit just granted on request is left alone
for `settle_s`: its DATA is probably on the way.
"""

from collections.abc import Hashable
from dataclasses import dataclass

SETTLE_S = 0.02


@dataclass(slots=True)
class Account:
    credits: int = 0  # unspent; below zero while DATA crossed a credit that was taken back
    busy: int = 0  # batches received and not answered
    waiting: int = 0  # requests it says it has waiting
    granted_at_s: float = 0.0

    def may_lose(self, granted_before_s: float) -> bool:
        return self.credits > 0 and (not self.waiting or self.granted_at_s <= granted_before_s)


class Overdrawn(Exception):
    """A gateway sent more batches than a worker has slots."""


class Credits:
    """Give out at most `slots` credits among holders. Every change returns moves: holder → credits to add."""

    def __init__(self, slots: int = 0, settle_s: float = SETTLE_S) -> None:
        self.slots = slots  # 0 while not ready and while draining: nothing new is granted
        self.settle_s = settle_s
        self.limit = slots  # batches one holder may ever have here at once
        self.accounts: dict[Hashable, Account] = {}  # in turn: who was granted or used one last stands last
        self.last: Hashable | None = None  # who used a slot last; free ones rest there

    def open(self, slots: int, now_s: float) -> dict[Hashable, int]:
        self.slots = self.limit = slots
        return self.settle(now_s)

    def close(self) -> None:
        """Grant nothing any more; DATA that is on its way may still come."""
        self.slots = 0

    def join(self, holder: Hashable, now_s: float) -> dict[Hashable, int]:
        self.accounts[holder] = Account()
        if self.last is None:
            self.last = holder
        return self.settle(now_s)

    def leave(self, holder: Hashable, now_s: float) -> dict[Hashable, int]:
        if self.accounts.pop(holder, None) is None:
            return {}
        if self.last == holder:
            self.last = next(iter(self.accounts), None)
        return self.settle(now_s)

    def want(self, holder: Hashable, waiting: int, now_s: float) -> dict[Hashable, int]:
        self.accounts[holder].waiting = max(waiting, 0)
        return self.settle(now_s)

    def spend(self, holder: Hashable, requests: int) -> None:
        """A batch came in. Raises Overdrawn."""
        account = self.accounts[holder]
        if account.busy >= self.limit:
            raise Overdrawn
        self.move_back(holder)
        account.credits -= 1
        account.busy += 1
        account.waiting = max(account.waiting - requests, 0)
        self.last = holder

    def done(self, holder: Hashable, now_s: float) -> dict[Hashable, int]:
        """A batch was answered; its slot is free."""
        self.accounts[holder].busy -= 1
        return self.settle(now_s)

    def settle(self, now_s: float) -> dict[Hashable, int]:
        if not self.slots:
            return {}
        moves: dict[Hashable, int] = {}
        free = self.slots - sum(max(account.credits, 0) + account.busy for account in self.accounts.values())
        for holder in [holder for holder, account in self.accounts.items() if self.is_waiting(account)]:
            if free <= 0:
                before_s = now_s - self.settle_s
                loser = next((other for other, account in self.accounts.items() if account.may_lose(before_s)), None)
                if loser is None:
                    break
                self.move(moves, loser, -1)
                self.accounts[loser].waiting = 0  # it had a credit and did not use it
                free += 1
            self.move_back(holder)
            account = self.accounts[holder]
            account.granted_at_s = now_s
            self.move(moves, holder, 1 - account.credits)
            free -= 1
        if free > 0 and self.last is not None:
            self.move(moves, self.last, free - min(self.accounts[self.last].credits, 0))
        return moves

    def move_back(self, holder: Hashable) -> None:
        self.accounts[holder] = self.accounts.pop(holder)

    def move(self, moves: dict[Hashable, int], holder: Hashable, credits: int) -> None:
        self.accounts[holder].credits += credits
        moves[holder] = moves.get(holder, 0) + credits

    @staticmethod
    def is_waiting(account: Account) -> bool:
        return account.waiting > 0 and account.credits <= 0

    def settles_at_s(self) -> float | None:
        """When a credit that is left alone now may be taken for one who waits; None when nobody waits."""
        if len(self.accounts) < 2 or not any(map(self.is_waiting, self.accounts.values())):
            return None
        held = [account.granted_at_s for account in self.accounts.values() if account.credits > 0]
        return min(held) + self.settle_s if held else None
