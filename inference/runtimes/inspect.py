"""`python -m inference inspect FOLDER --format F`: is this folder safe and whole, and what does it take and give?

Prints one JSON object. Exit 0: {"format", "signature", "stages", "units", "files", "parameters", "warnings"}, all that
the console needs to register a version. Exit 1: {"error": {"code", "message"}}. Exit 2: wrong arguments. It runs under
limits of its own in a process of its own, so that a hostile file costs its uploader an error and nobody else anything.
"""

import argparse
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import (
    ArtifactError,
    BadDocument,
    CorruptArtifact,
    SwitchyardError,
    UnsafeArtifact,
    UnsupportedFormat,
)
from inference.log import configure_log
from inference.runtimes.archive import check_checksums, check_exported, drop_samples
from inference.runtimes.base import get_runtime
from inference.runtimes.folder import list_files, one_archive
from inference.runtimes.limits import limit_process
from inference.spec import Format, Signature, Unit, decode

MEMORY_BYTES = 16 * 1024**3
CPU_S = 120
GIVEN = "signature.json"
MAX_MESSAGE = 1_000


def inspect_folder(
    folder: Path, format: Format, *, native: bool, clean: bool, given: Signature | None
) -> dict[str, Any]:
    """The answer of exit 0, ready for JSON. Raises SwitchyardError."""
    list_files(folder, format)  # names and kinds first: nothing below opens a file that this refuses
    warnings = check_archive(folder, format, clean=clean)
    runtime = get_runtime(format)
    if runtime.runs_code and not native:
        raise UnsafeArtifact(
            f"Loading a {format.value} file runs code that is in it. Upload it as a user with the right 'native', or "
            "convert the model to safetensors or ONNX."
        )
    if given is None and (folder / GIVEN).is_file():
        given = read_signature(folder / GIVEN)
    found = runtime.inspect(folder, given)
    files, notes = list_files(folder, format)
    unit = Unit(name="main", stages=tuple(stage.name for stage in found.stages))
    return {
        "format": format.value,
        "signature": msgspec.to_builtins(found.signature),
        "stages": msgspec.to_builtins(found.stages),
        "units": msgspec.to_builtins((unit,)),
        "files": msgspec.to_builtins(files),
        "parameters": found.parameters,
        "warnings": [*warnings, *notes, *found.warnings],
    }


def check_archive(folder: Path, format: Format, *, clean: bool) -> list[str]:
    """For torch's archives: checksums, members, pickles; sample inputs are dropped with `clean`, else told of."""
    if format is Format.TORCHSCRIPT:
        check_checksums(one_archive(folder, format))
    if format is not Format.PT2:
        return []
    path = one_archive(folder, format)
    check_checksums(path)
    if not check_exported(path):
        return []
    if not clean:
        return [f"{path.name} holds sample inputs, perhaps somebody's data. --clean drops them."]
    drop_samples(path, path)
    return [f"The sample inputs in {path.name} were dropped: serving needs none, and they are a pickle."]


def read_signature(path: Path) -> Signature:
    try:
        return decode(path.read_bytes(), Signature)
    except OSError:
        raise CorruptArtifact(f"The signature {path.name} cannot be read.") from None


def import_libraries(format: Format, memory_bytes: int) -> None:
    """Import what opens the format, so that a failure to do that is not blamed on the file."""
    try:
        for library in get_runtime(format).libraries:
            import_module(library)
    except ModuleNotFoundError as error:
        raise UnsupportedFormat(f"{format.value} needs {error.name}: install the extra 'worker', and torch.") from error
    except (ImportError, MemoryError, OSError, SystemError) as error:  # how a library ends that gets no memory
        raise UnsupportedFormat(
            f"The libraries for {format.value} could not be loaded within {memory_bytes} bytes of memory. Raise "
            "--memory-bytes."
        ) from error


def explain(error: BaseException) -> dict[str, str]:
    """Code and message for the uploader. What nobody foresaw is an ArtifactError: it was this file that caused it."""
    if isinstance(error, SwitchyardError):
        return {"code": error.code, "message": str(error)[:MAX_MESSAGE]}
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        message = "Opening the model took more memory than an inspection may use. Raise --memory-bytes, or shrink it."
        return {"code": ArtifactError.code, "message": message}
    first = (str(error).strip() or "no message").splitlines()[0][:200]
    return {"code": ArtifactError.code, "message": f"The model cannot be opened: {type(error).__name__}: {first}"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m inference inspect", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", required=True, choices=[kind.value for kind in Format])
    parser.add_argument("--native", action="store_true", help="accept that loading the format runs code in the file")
    parser.add_argument("--clean", action="store_true", help="drop a .pt2's sample inputs, in place")
    parser.add_argument(
        "--signature", type=Path, help=f"JSON file that says the signature; else FOLDER/{GIVEN} if there"
    )
    parser.add_argument("--memory-bytes", type=int, default=MEMORY_BYTES, help="address space (default 16 GiB)")
    parser.add_argument("--cpu-s", type=int, default=CPU_S, help="CPU time (default 120)")
    given = parser.parse_args(arguments)
    configure_log("inspect")  # to stderr: stdout is the answer, which programs read

    # Libraries print where they like. Only our JSON goes to the caller's standard output; theirs joins the errors.
    answer_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(content: dict[str, Any]) -> None:
        os.write(answer_fd, msgspec.json.encode(content) + b"\n")

    def out_of_time() -> None:
        message = f"Opening the model took more than {given.cpu_s} s of CPU time. Raise --cpu-s, or shrink it."
        answer({"error": {"code": ArtifactError.code, "message": message}})
        os._exit(1)

    limit_process(memory_bytes=given.memory_bytes, cpu_s=given.cpu_s, on_cpu_limit=out_of_time)
    try:
        import_libraries(Format(given.format), given.memory_bytes)
        signature = read_signature(given.signature) if given.signature else None
        answer(
            inspect_folder(given.folder, Format(given.format), native=given.native, clean=given.clean, given=signature)
        )
    except (ArtifactError, BadDocument) as error:
        answer({"error": explain(error)})
        return 1
    except Exception as error:  # the top of this program: whatever a library raises over a file is the file's fault
        traceback.print_exc()
        answer({"error": explain(error)})
        return 1
    return 0
