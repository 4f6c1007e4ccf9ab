"""Prometheus' text exposition format, written and nothing else."""

from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Exposition:
    """Collects samples by metric, so that each metric's lines stand together under one HELP and TYPE."""

    def __init__(self) -> None:
        self.metrics: dict[str, tuple[str, str, list[str]]] = {}

    def add(
        self, kind: str, name: str, help: str, value: float, labels: Labels | None = None, suffix: str = ""
    ) -> None:
        _, _, lines = self.metrics.setdefault(name, (kind, help, []))
        lines.append(f"{name}{suffix}{render_labels(labels)} {render_value(value)}")

    def counter(self, name: str, help: str, value: float, labels: Labels | None = None) -> None:
        self.add("counter", name, help, value, labels)

    def gauge(self, name: str, help: str, value: float, labels: Labels | None = None) -> None:
        self.add("gauge", name, help, value, labels)

    def histogram(
        self, name: str, help: str, buckets: Mapping[float, int], count: int, total: float, labels: Labels | None = None
    ) -> None:
        """`buckets`: upper bound → how many are at most that, in rising order."""
        for upper, below in buckets.items():
            self.add("histogram", name, help, below, {**(labels or {}), "le": render_value(upper)}, "_bucket")
        self.add("histogram", name, help, count, {**(labels or {}), "le": "+Inf"}, "_bucket")
        self.add("histogram", name, help, total, labels, "_sum")
        self.add("histogram", name, help, count, labels, "_count")

    def render(self) -> str:
        parts = []
        for name, (kind, text, lines) in self.metrics.items():
            parts.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + "\n".join(lines) + "\n")
        return "".join(parts)


def render_labels(labels: Labels | None) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in labels.items()) + "}"


def escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render_value(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
