"""`<data>/up.json`: where everything listens and how to get in. Mode 0600, replaced whole with each change."""

import json
import os
from pathlib import Path
from typing import Any

FIELDS = (
    "console_url", "gateway_url", "admin_url", "grpc_url", "api_key", "admin_user", "admin_password", "login_url",
    "data_dir", "pids",
)  # fmt: skip


def read_facts(data: Path) -> dict[str, Any]:
    """The facts of the last `up`, or empty when there are none to be read."""
    try:
        facts = json.loads((data / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_facts(data: Path, facts: dict[str, Any]) -> None:
    ordered = {name: facts.get(name) for name in FIELDS}
    draft = data / "up.json.new"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(json.dumps(ordered, indent=2) + "\n")
    draft.replace(data / "up.json")
