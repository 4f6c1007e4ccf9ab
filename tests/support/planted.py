"""Code with a fault planted in it: fresh copies of some modules, one of them changed, beside the ones in use."""

import sys
from itertools import count
from pathlib import Path
from types import ModuleType

import inference

ROOT = Path(inference.__file__).parents[1]
NUMBERS = count()


def plant(package: str, modules: tuple[str, ...], module: str, sound: str, faulty: str) -> ModuleType:
    """The last of `modules` (of `package`, in the order of their imports), with `sound` exchanged for `faulty` in one.

    Raises ValueError unless `sound` stands in that module exactly once: a fault that is not planted proves nothing.
    """
    fresh = f"planted_{next(NUMBERS)}"
    try:
        for name in modules:
            source = (ROOT / package.replace(".", "/") / f"{name}.py").read_text()
            if name == module:
                if source.count(sound) != 1:
                    raise ValueError(f"{sound!r} stands {source.count(sound)} times in {module}.")
                source = source.replace(sound, faulty)
            made = ModuleType(f"{fresh}.{name}")
            sys.modules[made.__name__] = made
            exec(compile(source.replace(package, fresh), f"<{module} with a fault>", "exec"), made.__dict__)
        return made
    finally:
        for name in modules:
            sys.modules.pop(f"{fresh}.{name}", None)
