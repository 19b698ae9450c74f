"""Samplers that draw a class for each place: shares of the classes, even use of their images, resuming."""

import numpy as np
import pytest
import torch

from oltr.contracts import Progress, UserError
from oltr.samplers.progressive import Progressive
from oltr.samplers.square_root import SquareRoot

SIZES = [900, 0, 100, 25, 1]  # N = 1026, square roots 30, 10, 5, 1
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), SIZES))


def sampler(part, *, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return part(labels=torch.as_tensor(LABELS), num_classes=6, generator=generator, **options)


def expected_shares(part, fraction):
    sizes = np.array(SIZES)
    if part is SquareRoot:
        return np.sqrt(sizes) / np.sqrt(sizes).sum()
    return (1 - fraction) * sizes / sizes.sum() + fraction * (sizes > 0) / 4


@pytest.mark.parametrize(
    ("part", "epoch"), [(SquareRoot, 0), (SquareRoot, 4), (Progressive, 0), (Progressive, 1), (Progressive, 4)]
)
def test_shares_of_the_classes(part, epoch):
    draws = sampler(part, epoch_images=40_000).indices(Progress(epoch=epoch, epochs=5)).numpy()
    shares = np.bincount(LABELS[draws], minlength=5) / 40_000
    expected = expected_shares(part, epoch / 4)
    deviation = np.sqrt(expected * (1 - expected) / 40_000)
    assert (np.abs(shares - expected) <= 4 * deviation).all()


@pytest.mark.parametrize("part", [SquareRoot, Progressive])
def test_places_are_independent_and_images_take_turns(part):
    ours = sampler(part, epoch_images=3000)
    draws = np.concatenate([ours.indices(Progress(epoch=epoch, epochs=4)).numpy() for epoch in range(4)])
    uses = np.bincount(draws, minlength=len(LABELS))
    for label in (0, 2, 3, 4):
        of_class = uses[np.equal(LABELS, label)]
        assert of_class.max() - of_class.min() <= 1  # over epochs too
    shares = np.bincount(LABELS[draws], minlength=5) / len(draws)
    pairs = (LABELS[draws[1:]] == 0) & (LABELS[draws[:-1]] == 0)
    if part is SquareRoot:
        assert abs(pairs.mean() - shares[0] ** 2) < 0.02


@pytest.mark.parametrize("part", [SquareRoot, Progressive])
def test_resumes_exactly(part, tmp_path):
    steps = [Progress(epoch=epoch, epochs=4) for epoch in range(4)]
    ours = sampler(part)
    ours.indices(steps[0])
    torch.save(ours.state_dict(), tmp_path / "state.pt")
    after = [ours.indices(step) for step in steps[1:]]
    again = sampler(part, seed=9)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for step, expected in zip(steps[1:], after, strict=True):
        assert torch.equal(again.indices(step), expected)
        assert len(expected) == len(LABELS)


@pytest.mark.parametrize("part", [SquareRoot, Progressive])
def test_mistakes(part):
    with pytest.raises(UserError, match="epoch_images is at least 1, not -1"):
        sampler(part, epoch_images=-1)
