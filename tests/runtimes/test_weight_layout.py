"""Weights of linear layers lie turned on a CPU: the same numbers, whatever shares them, and never at any size."""

from pathlib import Path

import pytest
import torch
from torch.nn import Embedding, Linear, Module, Sequential

from inference.runtimes.weight_layout import share_weights, turn_weights


def lies_turned(layer: Module) -> bool:
    return layer.get_parameter("weight").t().is_contiguous()


def test_a_turned_model_answers_with_the_same_numbers() -> None:
    torch.manual_seed(0)
    module = Sequential(Linear(24, 48), torch.nn.GELU(), Linear(48, 8, bias=False))
    rows = torch.randn(5, 24)
    before, shapes = module(rows), [weight.shape for weight in module.parameters()]
    assert turn_weights(module) == 2
    assert lies_turned(module[0])
    assert [weight.shape for weight in module.parameters()] == shapes
    torch.testing.assert_close(module(rows), before)


def test_a_weight_that_an_embedding_reads_too_is_left_alone() -> None:
    words, last = Embedding(10, 4), Linear(4, 10, bias=False)
    last.weight = words.weight
    assert turn_weights(Sequential(words, Linear(4, 4), last)) == 1
    assert not lies_turned(last)


def test_two_layers_with_one_weight_still_share_it() -> None:
    one, other = Linear(4, 6), Linear(4, 6)
    other.weight = one.weight
    assert turn_weights(Sequential(one, other)) == 1
    assert other.weight is one.weight
    assert lies_turned(other)


def test_half_precision_and_what_is_too_large_stay_as_they_are() -> None:
    half, large = Linear(4, 6).to(torch.bfloat16), Linear(4, 6)
    assert turn_weights(half) == 0
    assert turn_weights(large, most_bytes=95) == 0
    assert not lies_turned(large)
    assert turn_weights(large, most_bytes=96) == 1


def model(seed: int = 0) -> Module:
    torch.manual_seed(seed)
    module = Sequential(Linear(24, 48), torch.nn.GELU(), Linear(48, 8)).requires_grad_(requires_grad=False)
    turn_weights(module)
    return module


BYTES = 4 * (24 * 48 + 48 * 8)


def addresses(module: Module) -> list[int]:
    return [layer.get_parameter("weight").data_ptr() for layer in (module[0], module[2])]  # type: ignore[index]


def mapped_from(module: Module, path: Path) -> bool:
    """Whether the kernel says that all turned weights lie in the file."""
    places = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            start, _, end = line.split()[0].partition("-")
            places.append((int(start, 16), int(end, 16)))
    return all(any(start <= address < end for start, end in places) for address in addresses(module))


def test_replicas_map_one_file_and_answer_with_the_same_numbers(tmp_path: Path) -> None:
    path, rows = tmp_path / "turned", torch.randn(5, 24)
    one, other = model(), model()
    before = one(rows)
    assert [share_weights(module, path) for module in (one, other)] == [BYTES, BYTES]
    for module in (one, other):
        assert mapped_from(module, path)
        assert lies_turned(module[0])
        assert torch.equal(module(rows), before)
    assert path.stat().st_size == BYTES
    assert not list(tmp_path.glob("*.building"))


@pytest.mark.parametrize("content", [b"", b"short", bytes(BYTES), bytes(BYTES + 4)])
def test_a_file_that_holds_something_else_is_replaced_and_who_has_mapped_it_keeps_it(
    tmp_path: Path, content: bytes
) -> None:
    path, rows = tmp_path / "turned", torch.randn(5, 24)
    old = model(seed=1)
    share_weights(old, path)
    kept = old(rows)
    path.unlink()
    path.write_bytes(content)
    new = model(seed=2)
    expected = new(rows)
    assert share_weights(new, path) == BYTES
    assert torch.equal(new(rows), expected)
    assert torch.equal(old(rows), kept)
    third = model(seed=2)
    assert share_weights(third, path) == BYTES
    assert torch.equal(third(rows), expected)


def test_what_is_not_turned_is_not_kept_and_without_room_each_has_its_own(tmp_path: Path) -> None:
    assert share_weights(Sequential(Linear(4, 4)), tmp_path / "plain") == 0
    assert not (tmp_path / "plain").exists()
    module, rows = model(), torch.randn(5, 24)
    before = module(rows)
    assert share_weights(module, tmp_path / "no such folder" / "turned") == 0
    assert torch.equal(module(rows), before)
