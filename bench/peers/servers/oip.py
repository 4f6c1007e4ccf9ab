"""The Open Inference Protocol's JSON as dicts, for servers that leave the body to the user."""

from typing import Any

import numpy as np

from bench.peers.servers.models import SHAPES


def arrays(model: str, request: dict[str, Any]) -> list[np.ndarray]:
    """A request's inputs in the model's order."""
    given = {tensor["name"]: tensor for tensor in request["inputs"]}
    return [
        np.array(given[wanted.name]["data"], wanted.kind).reshape(given[wanted.name]["shape"])
        for wanted in SHAPES[model][0]
    ]


def answer(model: str, id: str, values: np.ndarray) -> dict[str, Any]:
    output = SHAPES[model][1]
    return {
        "model_name": model,
        "model_version": "1",
        "id": id,
        "outputs": [
            {
                "name": output.name,
                "datatype": output.datatype,
                "shape": list(values.shape),
                "data": values.ravel().tolist(),
            }
        ],
    }
