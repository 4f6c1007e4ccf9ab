#!/usr/bin/env python
"""Django's door to the console: `up`, `serve`, `monitor`, `jobs`, `migrate`, and the rest of Django."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    if "--data" in sys.argv[2:-1]:  # the settings read it as they are imported, before any command sees its flags
        os.environ["SWITCHYARD_DATA"] = sys.argv[sys.argv.index("--data") + 1]
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
