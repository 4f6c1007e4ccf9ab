"""Run `manage.py prepare` and follow it: the database side of a start, in a process that ends when it is done.

So `up` itself holds no database connection, and the second and a half that Django takes to load passes while Valkey,
controller and gateway start.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from console.supervisor.layout import Options
from console.supervisor.programs import BASE_DIR, Layout, manage
from console.supervisor.supervise import StartFailed

LIMIT_S = 120.0


async def prepare(
    layout: Layout, options: Options, known: dict[str, Any], on_step: Callable[[str, str, float], None]
) -> dict[str, Any]:
    """Migrate, make the admin and the demo key, set the pool, seed the first model.

    `on_step(name, detail, seconds)` hears of each finished step. Returns the facts for `up.json`: `admin_user`,
    `admin_password` (null once it was changed), `login_url`, `api_key`, `first_model` (null when none
    serves). Raises StartFailed with the command's error.
    """
    arguments = ["--base-url", layout.console_url]
    arguments += ["--workers", str(options.workers)] if options.workers else []
    arguments += ["--device", options.device] if options.device else []
    arguments += ["--demo"] if options.demo else []
    process = await asyncio.create_subprocess_exec(
        *manage("prepare", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=BASE_DIR,
        env=layout.environment(),
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    # Secrets of an earlier start go in by stdin: arguments are readable by every user of the machine.
    process.stdin.write(json.dumps({name: known.get(name) for name in ("api_key", "admin_password")}).encode())
    process.stdin.close()
    errors = asyncio.create_task(process.stderr.read(64 * 1024))
    facts: dict[str, Any] = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            async for line in process.stdout:
                told = json.loads(line)
                if "step" in told:
                    on_step(told["step"], told["detail"], told["seconds"])
                else:
                    facts = told
            await process.wait()
    except TimeoutError:
        raise StartFailed(
            f"Preparing the database took over {LIMIT_S:.0f} s. Is {layout.data} on a slow disk?"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise StartFailed(f"The database could not be prepared:\n{(await errors).decode(errors='replace').strip()}")
    return facts
