"""`python -m inference PROGRAM …`: each program of the data plane and its tools, imported only when asked for."""

import sys
from importlib import import_module

PROGRAMS = {
    "gateway": ("inference.gateway.main", "route, queue, batch and answer requests"),
    "controller": ("inference.controller.main", "keep the pool as the documents want it"),
    "worker": ("inference.worker.main", "one replica; started by a driver"),
    "local": ("inference.controller.local", "gateway, controller and workers of one machine, from a file"),
    "inspect": ("inference.runtimes.inspect", "check an artifact folder and print its signature as JSON"),
    "export": ("inference.optimize.export", "turn a safetensors folder into ONNX"),
    "demo": ("inference.optimize.demo", "make the demo artifacts"),
    "certs": ("inference.transport.certs", "make the deployment's CA and certificates for nodes"),
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        width = max(map(len, PROGRAMS))
        print("usage: python -m inference PROGRAM [--help]\n", file=sys.stderr)
        for name, (_, purpose) in PROGRAMS.items():
            print(f"  {name:<{width}}  {purpose}", file=sys.stderr)
        return 2
    module, _ = PROGRAMS[sys.argv[1]]
    return int(import_module(module).main(sys.argv[2:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
