"""The law of the original's class-aware sampler, held by its golden draws, by a plain twin, and by ours."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oltr.contracts import Progress, UserError
from oltr.samplers.class_aware import ClassAware

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "class_aware_sampler.npz")
SEEDS = {"nsc4": 7, "nsc1": 8, "nsc3": 9, "balanced": 10, "single": 11}
NOW = Progress(epoch=0, epochs=1)


class Cycle:
    """The plain twin's cycle: an item at a time, shuffled by the standard library at each start."""

    def __init__(self, items):
        self.items, self.place = list(items), len(items) - 1

    def next(self):
        self.place += 1
        if self.place == len(self.items):
            self.place = 0
            random.shuffle(self.items)
        return self.items[self.place]


def plain_passes(labels, per_class, length, passes):
    """The law in ten lines: whole visits are drawn, the last one of a pass is cut off."""
    images = [Cycle(np.flatnonzero(labels == label).tolist()) for label in range(labels.max() + 1)]
    classes = Cycle(range(len(images)))
    for _ in range(passes):
        drawn = []
        while len(drawn) < length:
            visited = images[classes.next()]
            drawn += [visited.next() for _ in range(per_class)]
        yield np.array(drawn[:length])


def sampler(labels, *, num_classes=None, seed=0, **options):
    labels = torch.as_tensor(labels)
    generator = torch.Generator().manual_seed(seed)
    return ClassAware(labels=labels, num_classes=num_classes or int(labels.max()) + 1, generator=generator, **options)


def golden(case):
    labels, per_class = GOLDEN[f"{case}/labels"], int(GOLDEN[f"{case}/num_samples_cls"])
    return labels, per_class, int(GOLDEN[f"{case}/length"])


def assert_law(draws, labels, per_class):
    """``draws`` of whole visits: visits are to one class, classes come in permutations, and so do a class's images."""
    visits = labels[draws].reshape(-1, per_class)
    assert (visits == visits[:, :1]).all()
    assert_permutations(visits[:, 0], np.unique(labels))
    for label in np.unique(labels):
        assert_permutations(draws[labels[draws] == label], np.flatnonzero(labels == label))


def assert_permutations(stream, items):
    for start in range(0, len(stream), len(items)):
        part = stream[start : start + len(items)]
        assert len(set(part.tolist())) == len(part)
        assert set(part.tolist()) <= set(items.tolist())


@pytest.mark.parametrize("case", SEEDS)
def test_the_plain_twin_draws_what_the_original_drew(case):
    labels, per_class, length = golden(case)
    random.seed(SEEDS[case])  # only the standard library's shuffles give the original's very sequence
    for number, draws in enumerate(plain_passes(labels, per_class, length, 2)):
        np.testing.assert_array_equal(draws, GOLDEN[f"{case}/pass{number}/indices"])


@pytest.mark.parametrize("case", ["nsc4", "nsc1", "balanced"])
def test_law_of_golden_and_of_ours(case):
    labels, per_class, length = golden(case)
    ours = sampler(labels, images_per_class=per_class, epoch_images=length)
    assert ours.full_pass == length
    for draws in (
        np.concatenate([GOLDEN[f"{case}/pass{number}/indices"] for number in (0, 1)]),
        np.concatenate([ours.indices(NOW).numpy() for _ in range(2)]),
    ):
        assert len(draws) == 2 * length
        assert_law(draws, labels, per_class)


@pytest.mark.parametrize("case", SEEDS)
def test_golden_counts_of_a_first_pass(case):
    labels, per_class, length = golden(case)
    draws = sampler(labels, images_per_class=per_class, epoch_images=length).indices(NOW).numpy()
    counts = np.bincount(labels[draws])
    distinct = np.array([len(set(draws[labels[draws] == label].tolist())) for label in range(len(counts))])
    if case != "single":  # there it is chance which of the two classes comes last
        assert sorted(counts) == sorted(GOLDEN[f"{case}/pass0/class_counts"])
    np.testing.assert_array_equal(distinct, np.minimum(counts, np.bincount(labels)))
    expected = np.minimum(GOLDEN[f"{case}/pass0/class_counts"], np.bincount(labels))
    np.testing.assert_array_equal(GOLDEN[f"{case}/pass0/distinct_per_class"], expected)
    blocks = [labels[draws[start : start + per_class]] for start in range(0, length, per_class)]
    assert all(len(set(block.tolist())) == 1 for block in blocks)
    assert len(blocks) == len(GOLDEN[f"{case}/pass0/block_class"])
    assert len(blocks[-1]) == GOLDEN[f"{case}/last_block_size"]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=7).filter(any),
    per_class=st.integers(1, 5),
    visits=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_law_over_any_epochs(sizes, per_class, visits, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    ours = sampler(labels, num_classes=len(sizes), seed=seed, images_per_class=per_class)
    draws = []
    for count in visits:  # epochs of several lengths meet every way in which a cycle can be cut
        ours._length = count * per_class
        draws.append(ours.indices(NOW).numpy())
    assert_law(np.concatenate(draws), labels, per_class)


def test_every_order_is_as_likely_of_images_and_of_classes():
    for labels, per_class in ((np.zeros(4, int), 4), (np.arange(4), 1)):
        draws = sampler(labels, images_per_class=per_class, epoch_images=4 * 6000).indices(NOW)
        orders = Counter(map(tuple, draws.reshape(-1, 4).tolist()))
        assert len(orders) == 24
        assert all(abs(count - 250) < 5 * 15.5 for count in orders.values())  # five standard deviations


def test_the_first_cycle_is_shuffled_too():
    firsts = {sampler(np.zeros(9, int), seed=seed).indices(NOW)[0].item() for seed in range(90)}
    assert firsts == set(range(9))


def test_a_last_visit_cut_short_is_still_a_visit():
    repeated = 0
    for seed in range(40):
        ours = sampler(np.zeros(9, int), seed=seed, images_per_class=3, epoch_images=4)
        first, second = ours.indices(NOW).tolist(), ours.indices(NOW).tolist()
        assert len({*first, *second[:3]}) == 7  # two images fell away with the cut, three were left of the cycle
        repeated += second[3] in first
    assert 5 < repeated < 30  # the next is of a new cycle: 4 / 9 of the time one of the first


def test_an_epoch_has_as_many_images_as_the_training_set():
    labels = GOLDEN["nsc3/labels"]
    assert len(sampler(labels).indices(NOW)) == len(labels)


def test_gaps_in_the_labels_are_no_classes():
    labels = np.array([6, 1, 1, 3, 6, 6])  # the original stops with an IndexError here
    ours = sampler(labels, num_classes=9, images_per_class=2, epoch_images=18)
    assert ours.full_pass == 9
    assert np.bincount(labels[ours.indices(NOW).numpy()]).tolist() == [0, 6, 0, 6, 0, 0, 6]


def test_resumes_in_the_middle_of_all_cycles(tmp_path):
    labels = GOLDEN["nsc3/labels"]
    ours = sampler(labels, images_per_class=3)
    before = [ours.indices(NOW) for _ in range(2)]
    torch.save(ours.state_dict(), tmp_path / "state.pt")
    after = [ours.indices(NOW) for _ in range(3)]
    again = sampler(labels, seed=5, images_per_class=3)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert all(torch.equal(again.indices(NOW), expected) for expected in after)
    assert not torch.equal(before[0], before[1])
    assert torch.equal(sampler(labels, images_per_class=3).indices(NOW), before[0])


def test_a_state_is_not_changed_by_going_on():
    ours = sampler(GOLDEN["nsc4/labels"])
    ours.indices(NOW)
    state = ours.state_dict()
    expected = ours.indices(NOW)
    ours.load_state_dict(state)
    ours.indices(NOW)
    ours.load_state_dict(state)
    assert torch.equal(ours.indices(NOW), expected)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, -1], {"num_classes": 1}, "labels -1 to 0 do not fit 1 classes"),
        ([0, 4], {"num_classes": 4}, "labels 0 to 4 do not fit 4 classes"),
        ([0], {"images_per_class": 0}, "images_per_class is at least 1, not 0"),
        ([0], {"epoch_images": 0}, "epoch_images is at least 1, not 0"),
    ],
)
def test_mistakes(labels, options, message):
    with pytest.raises(UserError, match=message):
        sampler(labels, **options)


def test_nothing_to_sample():
    with pytest.raises(UserError, match="the training set is empty"):
        sampler(torch.empty(0, dtype=torch.int64), num_classes=3)


def test_a_state_of_another_training_set():
    with pytest.raises(UserError, match="of 3 images in 2 classes, but the training set has 4 in 2"):
        sampler([0, 1, 1, 1]).load_state_dict(sampler([0, 1, 1]).state_dict())
