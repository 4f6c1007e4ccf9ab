"""Good clients while others attack: `python -m bench.attacks [--json]`.

Each attack runs for `--seconds` on the gateway that a good client asks, and then as long on another one beside it; a
quiet spell lies before and behind. All the while the good client's requests arrive at random (bench/open_loop.py, in a
process of its own). Told are, for each attack: what the attackers were answered and how long the longest-lived of their
connections stood; the good client's p99 as a ratio to that of the quiet spells, and the same ratio while the gateway
beside was attacked; its errors; how much resident memory grew at most; and what the attacked gateway and the attackers
took of a core.

The ratio beside is what attackers, and the work of refusing them, take from a machine that they share with good
clients: what is over it comes from sharing a gateway. Attackers run at a low priority, since real ones bring cores of
their own. Exit status 1 where one of them was not refused, not bounded, or hurt a good client's answers; the ratios are
told, not judged. With `--repeat`, all figures of a row are of the repetition with the middle ratio.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.attackers import FOREVER_S, STATUS, Attack, Target, attacks
from bench.deployment import ROOT
from bench.open_loop import PATIENCE_S
from bench.peers import machine
from bench.stand import Gateway, Stand, open_stand

HEAD_S, BODY_S = 2.0, 3.0  # timeouts of the gateway here, so that a run of seconds shows their end
LOOK_S = 0.1
NICE = 10


@dataclass
class Outcome:
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    refused: int = 0  # connections that could not be made


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="sy-attacks-") as name, open_stand(Path(name)) as stand:
        limits = {"SWITCHYARD_HEADER_TIMEOUT_S": str(HEAD_S), "SWITCHYARD_BODY_TIMEOUT_S": str(BODY_S)}
        with stand.gateway(**limits) as gateway, stand.gateway(**limits) as beside:
            rows = uvloop.run(run(stand, gateway, beside, given))
    if given.json:
        for row in rows:
            print(json.dumps(machine.describe() | row))
    else:
        print_table(rows)
    return 0 if all(row["held"] for row in rows) else 1


async def run(stand: Stand, gateway: Gateway, beside: Gateway, given: argparse.Namespace) -> list[dict]:
    await good_client(stand, gateway, given)  # warm
    chosen = [attack for attack in attacks(HEAD_S, BODY_S) if given.only in attack.name]
    rows, quiet = [], await good_client(stand, gateway, given)
    for attack in chosen:
        print(f"{attack.name}: {attack.connections} connections", file=sys.stderr)
        tries = []
        for _ in range(given.repeat):
            here, there = [await under_attack(attack, stand, gateway, at, given) for at in (gateway, beside)]
            before, quiet = quiet, await good_client(stand, gateway, given)
            tries.append(row_of(attack, here, there, statistics.mean([before["p99_ms"], quiet["p99_ms"]])))
        middle = sorted(tries, key=lambda row: row["ratio"])[given.repeat // 2]
        rows.append(middle | {"held": all(row["held"] for row in tries)})
    return rows


@dataclass
class Spell:
    """While one gateway is attacked and one, the same or not, is asked by the good client."""

    outcome: Outcome
    good: dict
    rss_more_mb: float
    gateway_cpu: float  # cores that the attacked one took
    attackers_cpu: float


async def under_attack(
    attack: Attack, stand: Stand, asked: Gateway, attacked: Gateway, given: argparse.Namespace
) -> Spell:
    outcome, rss_mb = Outcome(), [attacked.rss_mb()]
    looking = asyncio.create_task(look(attacked, rss_mb))
    began_s, gateway_s, own_s = time.monotonic(), attacked.cpu_s(), time.process_time()
    target = target_of(stand, attacked)
    attacking = asyncio.create_task(asyncio.to_thread(attack_humbly, attack, target, outcome, given.seconds))
    good = await good_client(stand, asked, given)
    await attacking
    looking.cancel()
    took_s = time.monotonic() - began_s
    gateway_cpu, own_cpu = (attacked.cpu_s() - gateway_s) / took_s, (time.process_time() - own_s) / took_s
    return Spell(outcome, good, max(rss_mb) - rss_mb[0], gateway_cpu, own_cpu)


def attack_humbly(attack: Attack, target: Target, outcome: Outcome, seconds: float) -> None:
    """In a thread of its own, so that the good client, which is no child of it, keeps its priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    uvloop.run(keep_attacking(attack, target, outcome, seconds))


def row_of(attack: Attack, here: Spell, there: Spell, quiet_ms: float) -> dict:
    outcome, errors = here.outcome, here.good["errors"]
    return {
        "attack": attack.name,
        "connections": attack.connections,
        "lives": sum(outcome.answers.values()),
        "answers": dict(outcome.answers.most_common()),
        "longest_s": round(outcome.longest_s, 1),
        "p99_ms": here.good["p99_ms"],
        "quiet_p99_ms": round(quiet_ms, 3),
        "ratio": round(here.good["p99_ms"] / quiet_ms, 2),
        "ratio_beside": round(there.good["p99_ms"] / quiet_ms, 2),
        "errors": errors,
        "rss_more_mb": round(here.rss_more_mb, 1),
        "gateway_cpu": round(here.gateway_cpu, 2),
        "attackers_cpu": round(here.attackers_cpu, 2),
        "wrong": outcome.wrong[:3],
        "held": not outcome.wrong and not errors and outcome.longest_s <= attack.bound_s,
    }


def target_of(stand: Stand, gateway: Gateway) -> Target:
    host, port = gateway.at.url.removeprefix("http://").split(":")
    path = gateway.infer_url.removeprefix(gateway.at.url)
    return Target(host, int(port), path, gateway.at.key, stand.body.read_bytes())


async def keep_attacking(attack: Attack, target: Target, outcome: Outcome, seconds: float) -> None:
    """All connections, each begun anew when it ended; what still stands at the end is given its bound to end in."""
    end_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(attack.connections):
            group.create_task(attacker(attack, target, outcome, end_s, seconds * number / attack.connections / 4))


async def attacker(attack: Attack, target: Target, outcome: Outcome, end_s: float, wait_s: float) -> None:
    await asyncio.sleep(wait_s)  # not all in one moment
    loop = asyncio.get_running_loop()
    while time.monotonic() < end_s:
        began_s = time.monotonic()
        try:
            sock = await connect(loop, target)
        except OSError:
            outcome.refused += 1
            await asyncio.sleep(LOOK_S)
            continue
        with contextlib.closing(sock):
            try:
                async with asyncio.timeout(FOREVER_S):
                    answer = await attack.life(sock, target)
            except TimeoutError:
                answer = b""
        note(attack, outcome, answer, time.monotonic() - began_s)
        await asyncio.sleep(attack.pause_s)


async def connect(loop: asyncio.AbstractEventLoop, target: Target) -> socket.socket:
    """With small buffers, so that a reader who is slow is soon felt."""
    sock = socket.socket()
    sock.settimeout(0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        await loop.sock_connect(sock, (target.host, target.port))
    except OSError:
        sock.close()
        raise
    return sock


def note(attack: Attack, outcome: Outcome, answer: bytes, lived_s: float) -> None:
    found = [int(status) for status in STATUS.findall(answer)] or [0]
    outcome.answers.update(str(status) if status else "hung up" for status in found)
    outcome.longest_s = max(outcome.longest_s, lived_s)
    if not set(found) <= attack.statuses:
        outcome.wrong.append(f"answered {found}: {answer[:300]!r}")
    if b"\r\nx-injected" in answer.lower():
        outcome.wrong.append(f"a header of the attacker's: {answer[:300]!r}")


async def look(gateway: Gateway, rss_mb: list[float]) -> None:
    while True:
        rss_mb.append(gateway.rss_mb())
        await asyncio.sleep(LOOK_S)


async def good_client(stand: Stand, gateway: Gateway, given: argparse.Namespace) -> dict:
    command = [
        "-m", "bench.open_loop", gateway.infer_url, "--body", str(stand.body), "--rate", str(given.rate),
        "--seconds", str(given.seconds), "--header", "Content-Type: application/json",
    ]  # fmt: skip
    for name, value in gateway.headers.items():
        command += ["--header", f"{name}: {value}"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(process.communicate(), given.seconds + PATIENCE_S + 30)
    return json.loads(told)


def print_table(rows: list[dict]) -> None:
    print(f"{'attack':18} {'held':5} {'lives':>6} {'longest s':>9} {'p99 ms':>8} {'quiet':>8} {'ratio':>6} "
          f"{'beside':>6} {'errors':>6} {'MB more':>8} {'gateway':>8} {'attackers':>9}  answers")  # fmt: skip
    for row in rows:
        print(f"{row['attack']:18} {'yes' if row['held'] else 'NO':5} {row['lives']:6} {row['longest_s']:9} "
              f"{row['p99_ms']:8.2f} {row['quiet_p99_ms']:8.2f} {row['ratio']:6.2f} {row['ratio_beside']:6.2f} "
              f"{row['errors']:6} {row['rss_more_mb']:8} {row['gateway_cpu']:8} {row['attackers_cpu']:9}  "
              f"{row['answers']}")  # fmt: skip
        for wrong in row["wrong"]:
            print(f"    {wrong}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.attacks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack, and of each quiet spell")
    parser.add_argument("--repeat", type=int, default=1, help="times, each attack")
    parser.add_argument("--rate", type=float, default=200.0, help="good requests a second")
    parser.add_argument("--only", default="", help="attacks with this in their name")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each attack instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
