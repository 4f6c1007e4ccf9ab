"""The playground's request as curl and Python that work as copied, once SWITCHYARD_API_KEY is set."""

import base64
import json
import shlex
import textwrap
from typing import Any
from urllib.parse import quote

from django.conf import settings

from console.registry.models import Model
from console.serving.oip import Encoded, encode_request

KEY_VARIABLE = "SWITCHYARD_API_KEY"  # the real key is never printed


def infer_path(model: str, version: str | None) -> str:
    chosen = f"/versions/{quote(version, safe='')}" if version else ""
    return f"/v2/models/{quote(model, safe='')}{chosen}/infer"


def snippets(*, model: Model, body: dict[str, Any], version: str | None = None) -> dict[str, str]:
    url = settings.GATEWAY_PUBLIC_URL + infer_path(model.name, version)
    encoded = encode_request(body)
    return {"curl": curl_snippet(url, encoded), "python": python_snippet(url, encoded)}


def curl_snippet(url: str, encoded: Encoded) -> str:
    head = shlex.quote(encoded.head.decode())
    lines = [
        f"curl {shlex.quote(url)}",
        f'-H "Authorization: Bearer ${KEY_VARIABLE}"',
        *(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in encoded.headers.items()),
    ]
    if not encoded.tail:
        return " \\\n  ".join([*lines, f"--data-raw {head}"])
    # printf, because echo would add a line break to the JSON; base64, because a terminal cannot hold the picture.
    tail = base64.b64encode(encoded.tail).decode()
    feed = f"{{ printf %s {head}; printf %s {tail} | base64 -d; }}"
    return f"{feed} | \\\n" + " \\\n  ".join([*lines, "--data-binary @-"])


PYTHON = """\
{imports}

request = urllib.request.Request(
    {url},
    data={data},
    headers={{
        "Authorization": "Bearer " + os.environ["{key}"],
{headers}
    }},
)
with urllib.request.urlopen(request, timeout=30) as answer:
    print(json.load(answer))
"""


def python_snippet(url: str, encoded: Encoded) -> str:
    headers = "\n".join(f"{json.dumps(name)}: {json.dumps(value)}," for name, value in encoded.headers.items())
    modules = ["json", "os", "urllib.request"]
    if encoded.tail:
        # The length header counts the JSON's very bytes, so they stand here as they are sent.
        modules.insert(0, "base64")
        data = f"{encoded.head!r} + base64.b64decode({base64.b64encode(encoded.tail).decode()!r})"
    else:
        data = f"json.dumps({json.loads(encoded.head)!r}).encode()"
    return PYTHON.format(
        imports="\n".join(f"import {module}" for module in modules),
        url=json.dumps(url),
        data=data,
        key=KEY_VARIABLE,
        headers=textwrap.indent(headers, " " * 8),
    )
