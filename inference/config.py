"""Configuration: one frozen value, read once in `__main__` and handed down. A bad value stops the start by name."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


class BadSetting(ValueError):
    """A setting has a value that cannot be used; the message names the variable and what it takes."""


BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


def setting(variable: str, default: Any, help: str) -> Any:
    return field(default=default, metadata={"variable": variable, "help": help})


@dataclass(frozen=True, slots=True)
class Config:
    """Every environment variable of the data plane. `docs/configuration.md` lists the same, held there by a test."""

    data: Path = setting("SWITCHYARD_DATA", Path("data"), "Folder for sockets, logs, caches, last good documents")
    redis_url: str = setting("REDIS_URL", "", "Redis or Valkey, redis:// or unix://. Empty: files only")
    node: str = setting("SWITCHYARD_NODE", "local", "Name of this machine in the pool")
    pool: str = setting("SWITCHYARD_POOL", "default", "The pool that this controller runs")
    host: str = setting("SWITCHYARD_HOST", "127.0.0.1", "Address that the gateway binds")
    port: int = setting("SWITCHYARD_GATEWAY_PORT", 8080, "Port for inference over HTTP")
    grpc_port: int = setting("SWITCHYARD_GRPC_PORT", 8081, "Port for inference over gRPC; 0: none")
    grpc_reflection: bool = setting(
        "SWITCHYARD_GRPC_REFLECTION",
        default=False,
        help="1: tell whoever asks which gRPC calls there are, as grpcurl does",
    )
    admin_port: int = setting("SWITCHYARD_ADMIN_PORT", 8082, "Port for /metrics and health")
    tls_cert: str = setting("SWITCHYARD_TLS_CERT", "", "PEM file: certificate and chain for clients. Empty: no TLS")
    tls_key: str = setting("SWITCHYARD_TLS_KEY", "", "PEM file: its key. Both are read again when they change")
    processes: int = setting("SWITCHYARD_GATEWAY_PROCESSES", 1, "Gateway processes that share the port")
    max_body_bytes: int = setting("SWITCHYARD_MAX_BODY_BYTES", 64 * 1024 * 1024, "Largest request body")
    max_header_bytes: int = setting("SWITCHYARD_MAX_HEADER_BYTES", 32 * 1024, "Largest request head")
    max_connections: int = setting("SWITCHYARD_MAX_CONNECTIONS", 20_000, "Open client connections; more are closed")
    header_timeout_s: float = setting("SWITCHYARD_HEADER_TIMEOUT_S", 10.0, "Time to send a whole request head")
    body_timeout_s: float = setting("SWITCHYARD_BODY_TIMEOUT_S", 60.0, "Time to send a whole request body")
    idle_timeout_s: float = setting(
        "SWITCHYARD_IDLE_TIMEOUT_S", 120.0, "Idle time, then a kept-alive connection is closed"
    )
    drain_s: float = setting("SWITCHYARD_DRAIN_S", 20.0, "Time that work in flight has to finish when a program stops")
    poll_s: float = setting(
        "SWITCHYARD_POLL_S", 0.0005, "Longest that a process looks for work again and again before it sleeps; 0: never"
    )
    log_format: str = setting("SWITCHYARD_LOG_FORMAT", "text", "text or json")
    log_level: str = setting("SWITCHYARD_LOG_LEVEL", "info", "debug, info, warning or error")
    visible_gpus: str = setting(
        "CUDA_VISIBLE_DEVICES", "", "GPUs that workers may use, as CUDA reads it: numbers or UUIDs. Empty: all"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **overrides: Any) -> "Config":
        """Read the environment; `overrides` (from flags) win where they are not None. Raises BadSetting."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            given = overrides.pop(item.name, None)
            variable = item.metadata["variable"]
            if given is None and environ.get(variable, "") != "":
                given = environ[variable]
            if given is not None:
                values[item.name] = read_value(variable, given, type(item.default))
        if overrides:
            raise TypeError(f"No such setting: {', '.join(overrides)}")
        return cls(**values)

    @property
    def run_dir(self) -> Path:
        return self.data / "run"


def read_value(variable: str, given: Any, kind: type) -> Any:
    wanted: Any = Path if issubclass(kind, Path) else kind
    if kind is bool and not isinstance(given, bool):
        if given not in BOOLEANS:
            raise BadSetting(f"{variable}={given!r} is not usable: it takes 1 or 0.")
        return BOOLEANS[given]
    try:
        value = wanted(given)
    except (TypeError, ValueError):
        raise BadSetting(f"{variable}={given!r} is not usable: it takes {kind.__name__}, such as {kind(1)}.") from None
    if wanted in (int, float) and not value >= 0:  # nor nan, with which a time limit would end all or nothing
        raise BadSetting(f"{variable}={given!r} is negative or no number; it takes zero or more.")
    return value.absolute() if isinstance(value, Path) else value
