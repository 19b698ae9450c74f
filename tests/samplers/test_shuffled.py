"""Plain shuffling: permutations, another one each epoch, resumed exactly."""

import pytest
import torch

from oltr.contracts import Progress, UserError
from oltr.samplers.shuffled import Shuffled

NOW = Progress(epoch=0, epochs=1)


def test_permutations_that_resume(tmp_path):
    ours = Shuffled(labels=torch.zeros(50, dtype=torch.int64), generator=torch.Generator().manual_seed(3))
    first = ours.indices(NOW)
    torch.save(ours.state_dict(), tmp_path / "state.pt")
    second = ours.indices(NOW)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert not torch.equal(first, second)
    again = Shuffled(labels=torch.zeros(50, dtype=torch.int64), generator=torch.Generator())
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again.indices(NOW), second)


def test_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    Shuffled(labels=torch.zeros(5, dtype=torch.int64), generator=torch.Generator()).indices(NOW)
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_to_sample():
    with pytest.raises(UserError, match="the training set is empty"):
        Shuffled(labels=torch.empty(0, dtype=torch.int64), generator=torch.Generator())
