"""Weights of linear layers lie turned on a CPU: the same numbers, whatever shares them, and never at any size."""

import torch
from torch.nn import Embedding, Linear, Module, Sequential

from inference.runtimes.weight_layout import turn_weights


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
