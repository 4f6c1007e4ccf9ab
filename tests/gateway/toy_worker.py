"""A replica in a process of its own: the real frames, slots and answers of a worker, with a toy for a model.

Reads one Job as a JSON line, as a worker does, and gives each output the input of its place. The first number of the
first input may ask for trouble.
"""

import os
import sys
import time

import msgspec
import numpy as np

from inference.drivers.base import Job
from inference.policy.units import unit_signature
from inference.spec import decode
from inference.transport.frames import WorkerHello
from inference.transport.listening import listen
from inference.transport.server import Server
from inference.worker.execute import execute

DIE, SLEEP, RAISE, NAN = 666.0, 777.0, 888.0, 999.0
SLEEP_S = 0.25


class Toy:
    def __init__(self, job: Job):
        unit = next(unit for unit in job.version.units if unit.name == job.unit)
        signature = unit_signature(job.version, unit)
        self.inputs, self.outputs = signature.inputs, signature.outputs

    def run(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        first = batch[self.inputs[0].name]
        outputs = {
            output.name: batch[self.inputs[place % len(self.inputs)].name] for place, output in enumerate(self.outputs)
        }
        if self.inputs[0].datatype == "FP32":
            asked = set(first.reshape(len(first), -1)[:, 0].tolist())
            if DIE in asked:
                os._exit(9)
            if SLEEP in asked:
                time.sleep(SLEEP_S)
            if RAISE in asked:
                raise ValueError("asked to raise")
            if NAN in asked:
                outputs[self.outputs[0].name] = np.full_like(first, np.nan)
        return outputs


def main() -> None:
    job = decode(sys.stdin.buffer.readline(), Job)
    unit = next(unit for unit in job.version.units if unit.name == job.unit)
    slots = int(os.environ.get("TOY_SLOTS", "2"))
    hello = WorkerHello(job.replica, job.version.digest, job.unit, slots, unit.batch.max_size)
    server, toy = Server(listen(job.address), hello), Toy(job)
    server.open(slots)
    sys.stdout.write(msgspec.json.encode({"ready": True}).decode() + "\n")
    sys.stdout.flush()
    while True:
        if server.inbox:
            batch = server.inbox.popleft()
            server.answer(batch, *execute(toy, batch, unit.batch.max_size))
        server.turn(0.0 if server.inbox else 1.0)


if __name__ == "__main__":
    main()
