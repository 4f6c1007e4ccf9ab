"""Which names a pickle would import, found by reading its opcodes. Nothing is ever unpickled here.

An allowlist, not a blocklist: scanners that look for known bad names have been passed by again and again. What torch
writes for a tensor needs the few names below; anything else is refused.
"""

import pickletools
from collections.abc import Iterator

from inference.errors import UnsafeArtifact

ALLOWED = frozenset({
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"), ("torch", "device"),
    ("torch.serialization", "_get_layout"),
    *(("torch", name) for name in (
        "FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage", "ShortStorage",
        "CharStorage", "ByteStorage", "BoolStorage",
    )),
})  # fmt: skip
# TorchScript writes its own classes under __torch__ (interpreted from code/ in the archive, never imported) and these
# markers of its own unpickler.
SCRIPT_MODULES = ("__torch__",)
SCRIPT_NAMES = frozenset({
    ("torch.jit._pickle", name)
    for name in (
        "build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "build_tensor_from_id",
        "restore_type_tag",
    )
})  # fmt: skip
# Ways to reach a class that leave its name to the stack machine, which can be made to say one thing to a reader and
# another to the loader. torch writes protocol 2, where every name stands in a GLOBAL.
REFUSED = frozenset({"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"})


def check_pickle(content: bytes, where: str, *, script: bool = False) -> None:
    """Raise UnsafeArtifact unless every name that the pickle imports is allowed."""
    for module, name in imported_names(content, where):
        allowed = (module, name) in ALLOWED
        if script:
            own = module in SCRIPT_MODULES or module.startswith("__torch__.")
            allowed = allowed or own or (module, name) in SCRIPT_NAMES
        if not allowed:
            raise UnsafeArtifact(
                f"{where} is a pickle that imports {module}.{name}, which no model needs. Convert the weights to "
                "safetensors on a machine that you trust, and upload those."
            )


def imported_names(content: bytes, where: str) -> Iterator[tuple[str, str]]:
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in REFUSED:
                raise UnsafeArtifact(f"{where} is a pickle with the opcode {opcode.name}, which torch never writes.")
            if opcode.name == "GLOBAL":
                module, _, attribute = str(argument).partition(" ")
                yield module, attribute
    except UnsafeArtifact:
        raise
    except Exception as error:  # pickletools raises many kinds for broken streams
        raise UnsafeArtifact(f"{where} is not a readable pickle ({type(error).__name__}).") from None
