"""`python -m inference local --spec FILE`: the data plane alone on one machine, with neither Redis nor Django.

The file's documents go to `<data>/documents`; a gateway and a controller follow that folder, as they would follow it
with Redis away. They are our children and hold our lifeline: when we end, however we end, all of it does.
The file is watched: save it with another stable version, and the traffic moves when that version is ready.
"""

import argparse
import hashlib
import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from inference.config import BadSetting, Config
from inference.controller.children import Children, free_port, is_free
from inference.errors import BadDocument
from inference.log import configure_log, get_log
from inference.spec import KEYS_NAME, ApiKey, KeysSpec, LocalSpec, ModelSpec, PoolSpec, decode
from inference.sync.documents import Change, Documents, accept_all
from inference.sync.files import DocumentFolder

log = get_log()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m inference local", description=__doc__.split("\n")[0])
    parser.add_argument("--spec", type=Path, required=True, help="JSON file: models, and if you like keys and a pool")
    parser.add_argument("--data", help="data folder (default: local/ in SWITCHYARD_DATA)")
    parser.add_argument("--host", help="address to bind")
    parser.add_argument("--port", type=int, help="port for inference; 0 takes a free one")
    parser.add_argument("--grpc-port", type=int, help="port for inference over gRPC; 0 for none")
    parser.add_argument("--admin-port", type=int, help="port for /metrics and health; 0 takes a free one")
    parser.add_argument("--processes", type=int, help="gateway processes that share the port")
    parser.add_argument("--workers", type=int, help="most workers at a time (default: the file's, or 8)")
    parser.add_argument("--device", help="cpu, cuda:0 …; several with commas (default: the file's, or cpu)")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env(
            redis_url="",
            host=arguments.host,
            port=arguments.port,
            grpc_port=arguments.grpc_port,
            admin_port=arguments.admin_port,
            processes=arguments.processes,
        )
        data = Path(arguments.data or config.data / "local").absolute()
        source = SpecFile(arguments.spec, DocumentFolder(data / "documents"), arguments.workers, arguments.device)
        source.publish()
    except (BadSetting, BadDocument) as error:
        parser.error(str(error))
    configure_log("local", config.log_format, config.log_level)
    if source.new_key:
        say(f"API key (made for this run): {source.new_key}")
    port = config.port if arguments.port else unclaimed_port(config.host, config.port, "inference")
    admin_port, grpc_port = config.admin_port, config.grpc_port
    if not arguments.admin_port:
        admin_port = unclaimed_port(config.host, admin_port, "metrics")
    if arguments.grpc_port is None and grpc_port:
        grpc_port = unclaimed_port(config.host, grpc_port, "gRPC")
    try:
        children = Children(replace(config, data=data, port=port, admin_port=admin_port, grpc_port=grpc_port), source)
    except OSError as error:
        parser.error(f"SWITCHYARD_TLS_CERT={config.tls_cert!r} cannot be read: {error}.")
    return children.run()


def unclaimed_port(host: str, wanted: int, what: str) -> int:
    """The port that nobody named on the command line: where another program has it, a free one, said aloud."""
    if wanted and is_free(host, wanted):
        return wanted
    port = free_port(host)
    if wanted:
        say(f"Port {wanted} is taken; {what} listens on {port}.")
    return port


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class SpecFile:
    """The operator's file, and the folder that it is turned into.

    Each run is an epoch of its own, and each change a generation, so nobody has to count them in the file.
    """

    def __init__(self, path: Path, folder: DocumentFolder, workers: int | None, device: str | None):
        self.path = path
        self.folder = folder
        self.workers = workers
        self.device = device
        self.epoch = f"local-{time.time_ns()}"
        self.generation = 0
        self.stamp: tuple[int, int] | None = None
        self.models: tuple[str, ...] = ()
        self.new_key = ""
        self.made_keys: KeysSpec | None = None

    def publish(self) -> None:
        """Raises BadDocument, and then has changed nothing."""
        self.stamp = self.look()
        try:
            spec = decode(self.path.read_bytes(), LocalSpec)
        except OSError as error:
            raise BadDocument(f"The file {self.path} cannot be read: {error.strerror}.") from error
        pool = self.pool_of(spec)
        for model in spec.models:
            if model.pool != pool.name:
                raise BadDocument(f"Model {model.name!r} wants pool {model.pool!r}; this file's pool is {pool.name!r}.")
        self.generation += 1
        for kind, key, document in self.documents(spec, pool):
            self.folder.write(kind, key, document)
        self.models = tuple(model.name for model in spec.models if not model.deleted)

    def publish_if_changed(self) -> None:
        if self.look() == self.stamp:
            return
        try:
            self.publish()
            log.info("spec_read", file=str(self.path), generation=self.generation, models=len(self.models))
        except BadDocument as error:
            log.error("spec_refused", file=str(self.path), error=str(error), effect="what runs goes on")
        except OSError as error:
            self.stamp = None  # tried again at the next look
            log.error("spec_not_written", folder=str(self.folder.folder), error=str(error), effect="what runs goes on")

    def look(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def documents(self, spec: LocalSpec, pool: PoolSpec) -> list[Change]:
        stamp = {"epoch": self.epoch, "generation": self.generation}
        changes: list[Change] = [("pool", pool.name, msgspec.structs.replace(pool, **stamp))]
        changes.append(("keys", KEYS_NAME, msgspec.structs.replace(spec.keys or self.own_keys(), **stamp)))
        changes += [("spec", model.name, msgspec.structs.replace(model, **stamp)) for model in spec.models]
        named = {model.name for model in spec.models}
        before, _ = accept_all(Documents(), self.folder.load())
        changes += [
            ("spec", name, ModelSpec(name=name, epoch=self.epoch, generation=self.generation, deleted=True))
            for name in before.models
            if name not in named
        ]
        return changes

    def pool_of(self, spec: LocalSpec) -> PoolSpec:
        pool = spec.pool or PoolSpec(name="default", epoch=self.epoch, generation=0, spares=0)
        if self.workers is not None:
            if self.workers < 1:
                raise BadDocument(f"--workers {self.workers} is not usable: it takes 1 or more.")
            pool = msgspec.structs.replace(pool, max_workers=self.workers)
        if self.device:
            pool = msgspec.structs.replace(pool, devices=tuple(self.device.split(",")))
        return pool

    def own_keys(self) -> KeysSpec:
        """One key for all, the same for the whole run; only its digest is ever written."""
        if self.made_keys is None:
            self.new_key = f"sy_{secrets.token_urlsafe(24)}"
            digest = hashlib.sha256(self.new_key.encode()).hexdigest()
            key = ApiKey(id="local", name="made for this run", sha256=digest, scopes=("read", "infer", "operate"))
            self.made_keys = KeysSpec(epoch=self.epoch, generation=0, keys=(key,))
        return self.made_keys
