import gzip
import lzma
from pathlib import Path

import pytest

from inference.simulator.traces import BadTrace, read_moment, read_trace

AZURE = """\ufeffTIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55"""
MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}
{"timestamp": 3000, "input_length": 12, "output_length": 3, "hash_ids": []}

{"timestamp": 1500, "input_length": 7322, "output_length": 490, "hash_ids": [0]}
"""


def write(folder: Path, text: str, name: str = "trace") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_azure_traces_with_their_mark_and_without_a_last_newline(tmp_path: Path) -> None:
    traffic = read_trace(write(tmp_path, AZURE), "azure_llm")
    assert traffic.at_s.tolist() == pytest.approx([0.0, 4.314579, 4.541877], abs=1e-6)
    assert traffic.input_tokens.tolist() == [374, 396, 879]
    assert traffic.output_tokens.tolist() == [44, 109, 55]
    assert traffic.rate == pytest.approx(2 / 4.541877)


def test_mooncake_traces_are_put_in_order(tmp_path: Path) -> None:
    traffic = read_trace(write(tmp_path, MOONCAKE), "mooncake")
    assert traffic.at_s.tolist() == [0.0, 1.5, 3.0]
    assert traffic.input_tokens.tolist() == [6758, 7322, 12]


@pytest.mark.parametrize("suffix, packed", [(".xz", lzma.open), (".gz", gzip.open)])
def test_packed_traces_are_read_as_they_are(tmp_path: Path, suffix: str, packed) -> None:
    path = tmp_path / f"trace.csv{suffix}"
    with packed(path, "wt", encoding="utf-8") as file:
        file.write(AZURE)
    assert len(read_trace(path, "azure_llm")) == 3


def test_seven_decimals_zones_and_none() -> None:
    assert read_moment("1970-01-01 00:00:01.2345678") == pytest.approx(1.2345678, abs=1e-9)
    assert read_moment("1970-01-01 01:00:00.5+01:00") == 0.5
    assert read_moment("1970-01-02 00:00:00") == 86_400.0


def test_short_traces_have_a_span(tmp_path: Path) -> None:
    assert read_trace(write(tmp_path, ""), "mooncake").seconds == 0.0
    one = read_trace(write(tmp_path, MOONCAKE.splitlines()[0]), "mooncake")
    assert (len(one), one.seconds) == (1, 1.0)


@pytest.mark.parametrize(
    "text, format, says",
    [
        (AZURE.replace("396", "many"), "azure_llm", "line 3"),
        (AZURE.replace(",109", ""), "azure_llm", "line 3"),
        ("a,b\n1,2", "azure_llm", "no column"),
        ("", "azure_llm", "no column"),
        (AZURE, "mooncake", "line 1"),
        (MOONCAKE.replace("1500", '"soon"'), "mooncake", "line 4"),
        (MOONCAKE.replace("7322", "-1"), "mooncake", "line 4"),
        (MOONCAKE.replace("7322", "1" + "0" * 400), "mooncake", "line 4"),
        (AZURE.replace("396", "-1"), "azure_llm", "line 3"),
        (AZURE.replace("396", "1" + "0" * 400), "azure_llm", "line 3"),
        (AZURE.replace("396", "1" * 200_000), "azure_llm", "trace: field larger"),
        ("ContextTokens,GeneratedTokens,TIMESTAMP\n1,2", "azure_llm", "line 2"),
        (MOONCAKE, "alibaba", "known are"),
    ],
)
def test_what_is_not_of_the_format_is_named(tmp_path: Path, text: str, format: str, says: str) -> None:
    with pytest.raises(BadTrace, match=says):
        read_trace(write(tmp_path, text), format)


@pytest.mark.parametrize("format", ["azure_llm", "mooncake"])
def test_bytes_that_are_no_text_are_no_trace(tmp_path: Path, format: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(AZURE.encode() + b"\xff")
    with pytest.raises(BadTrace, match="utf-8"):
        read_trace(path, format)
