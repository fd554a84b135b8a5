"""What a stack's networks are drawn from: each trial's seed and a purpose, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from irm_sweeps.draws import Draws
from irm_sweeps.testing.fixtures import TINY, maker
from irm_sweeps.training.networks import Networks

CPU = torch.device("cpu")


def networks(*seeds: int, words: tuple[str, ...] = ("method=erm",), dtype: torch.dtype = torch.float32) -> Networks:
    trials = [maker([], TINY)(*words, f"seed={seed}") for seed in seeds]
    return Networks(trials, [Draws(seed) for seed in seeds], CPU, dtype)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_trial_has_the_same_network_alone_and_in_a_stack() -> None:
    alone = networks(7).initial(2, 100)
    stacked = networks(3, 7).initial(2, 100)
    assert same(alone[0], stacked[1])
    assert not same(stacked[0], stacked[1])


def test_each_purpose_gives_an_independent_draw_which_is_the_same_again() -> None:
    of_stack = networks(3, 7)
    (first, second) = of_stack.initial(2, 100)
    assert same(of_stack.fresh(0, "backbone"), first)
    assert same(of_stack.fresh(1, "backbone"), second)
    head = of_stack.fresh(1, "new head")
    assert same(head, networks(7).fresh(0, "new head"))
    assert not same(head, second)
    assert not same(head, of_stack.fresh(1, "another head"))


@pytest.mark.parametrize("method", ["invrat_ec", "irm_games", "eiil"])
def test_the_global_generator_neither_gives_nor_takes(method: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = networks(0, words=(f"method={method}",)).initial(2, 100)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert same(one[0], networks(0, words=(f"method={method}",)).initial(2, 100)[0])


def test_what_the_method_adds_is_of_the_size_that_it_is_told() -> None:
    added = networks(0, words=("method=eiil",)).initial(2, 100)[0]
    assert {tensor.numel() for name, tensor in added.items() if name.startswith("state.")} >= {100}


def test_parameters_have_the_stacks_dtype_and_whole_numbers_keep_theirs() -> None:
    of_stack = networks(0, dtype=torch.float64)
    assert {tensor.dtype for tensor in of_stack.initial(2, 100)[0].values()} == {torch.float64}
    assert of_stack.put(torch.tensor([3])).dtype == torch.int64
