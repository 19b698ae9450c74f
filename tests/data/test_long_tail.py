from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oltr.contracts import OPEN, UserError
from oltr.data.long_tail import INDEX_RULES, LongTail, class_orders, class_sizes, cut

TAIL = LongTail(
    imbalance_factor=100.0,
    profile="exponential",
    largest=None,
    open_classes=0,
    index_rule="cao",
    seed=0,
    val_per_class=None,
    reserve_val=False,
)


def mixed(num_classes: int, each: int) -> np.ndarray:
    return np.random.default_rng(3).permutation(np.repeat(np.arange(num_classes), each))


CIFAR100 = mixed(100, 500)


@pytest.mark.parametrize(
    ("num_classes", "factor", "total"),
    [
        *((10, 10, 20431), (10, 50, 13996), (10, 100, 12406), (10, 200, 11203)),
        *((100, 10, 19573), (100, 50, 12608), (100, 100, 10847), (100, 200, 9502)),
    ],
)
@pytest.mark.parametrize("rule", INDEX_RULES)
def test_default_cuts_have_the_published_sizes(num_classes: int, factor: int, total: int, rule: str) -> None:
    labels = np.repeat(np.arange(num_classes), 50_000 // num_classes)
    parts = cut(labels, num_classes=num_classes, tail=replace(TAIL, imbalance_factor=float(factor), index_rule=rule))
    assert len(parts.train) == total
    each = 50_000 // num_classes
    published = [int(each * (1 / factor) ** (label / (num_classes - 1.0))) for label in range(num_classes)]
    assert np.bincount(labels[parts.train]).tolist() == published


@pytest.mark.parametrize(
    ("factor", "groups"), [(10, (69, 31, 0)), (50, (41, 41, 18)), (100, (35, 35, 30)), (200, (30, 31, 39))]
)
def test_shot_groups_of_cifar100_are_the_published_ones(factor: int, groups: tuple[int, int, int]) -> None:
    sizes = class_sizes(profile="exponential", num_classes=100, largest=500, imbalance_factor=factor)
    assert ((sizes > 100).sum(), ((sizes >= 20) & (sizes <= 100)).sum(), (sizes < 20).sum()) == groups


def test_step_and_pareto_profiles() -> None:
    step = class_sizes(profile="step", num_classes=5, largest=500, imbalance_factor=100)
    assert step.tolist() == [500, 500, 5, 5, 5]
    pareto = class_sizes(profile="pareto", num_classes=4096, largest=310, imbalance_factor=62)
    # the quantiles at shares 1/4096, 1/64, 1 are 4, 2, 1: at rank 63 a third of the way from 5 to 310
    assert pareto[[0, 63, 4095]].tolist() == [310, 106, 5]
    assert class_sizes(profile="step", num_classes=1, largest=7, imbalance_factor=7).tolist() == [7]


@given(
    profile=st.sampled_from(["exponential", "step", "pareto"]),
    num_classes=st.integers(2, 60),
    largest=st.integers(1, 3_000),
    share=st.floats(0, 1),
)
def test_sizes_fall_between_the_two_ends(profile: str, num_classes: int, largest: int, share: float) -> None:
    factor = 1 + share * (largest - 1)
    sizes = class_sizes(
        profile=profile, num_classes=num_classes, largest=largest, imbalance_factor=min(factor, largest)
    )
    assert sizes[0] == largest
    assert (np.diff(sizes) <= 0).all()
    assert sizes[-1] == int(largest / min(factor, largest))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_cao_rule_is_the_published_procedure(seed: int) -> None:
    labels = mixed(10, 300)
    np.random.seed(seed)
    expected = []
    for label in range(10):
        indices = np.where(labels == label)[0]
        np.random.shuffle(indices)
        expected.extend(indices[: int(300 * 0.01 ** (label / 9.0))])
    parts = cut(labels, num_classes=10, tail=replace(TAIL, seed=seed))
    assert parts.train.tolist() == expected


def test_first_n_takes_the_first_images_of_each_class() -> None:
    labels = mixed(4, 50)
    train = cut(labels, num_classes=4, tail=replace(TAIL, index_rule="first_n", imbalance_factor=10.0)).train
    for label, size in enumerate([50, 23, 10, 5]):
        assert train[labels[train] == label].tolist() == np.flatnonzero(labels == label)[:size].tolist()


def test_own_rule_depends_on_seed_and_class_alone() -> None:
    labels = mixed(5, 40)
    orders = class_orders(labels, num_classes=5, index_rule="own", seed=7)
    fewer = class_orders(np.where(labels == 2, 1, labels)[labels != 2], num_classes=5, index_rule="own", seed=7)
    places = [np.searchsorted(np.flatnonzero(labels == label), orders[label]).tolist() for label in range(5)]
    kept = np.where(labels == 2, 1, labels)[labels != 2]
    assert np.searchsorted(np.flatnonzero(kept == 4), fewer[4]).tolist() == places[4]
    assert places[3] != places[4]
    assert places[4] != np.argsort(class_orders(labels, num_classes=5, index_rule="own", seed=8)[4]).tolist()
    pinned = class_orders(np.zeros(6, dtype=np.int64), num_classes=1, index_rule="own", seed=0)[0]
    assert pinned.tolist() == [3, 4, 2, 1, 5, 0]  # the same on every machine


@given(
    rule=st.sampled_from(INDEX_RULES),
    factor=st.one_of(st.none(), st.floats(1, 20)),
    open_classes=st.one_of(st.integers(0, 5), st.lists(st.integers(0, 5), max_size=5)),
    val=st.one_of(st.none(), st.integers(0, 10)),
    reserve=st.booleans(),
    test=st.integers(0, 8),
)
def test_parts_are_disjoint_and_complete(
    rule: str, factor: float | None, open_classes: int | list[int], val: int | None, reserve: bool, test: int
) -> None:
    labels = mixed(6, 60)
    tail = replace(TAIL, index_rule=rule, imbalance_factor=factor, open_classes=open_classes, val_per_class=val)
    parts = cut(labels, num_classes=6, tail=replace(tail, reserve_val=reserve, test_per_class=test))
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert len(np.unique(together)) == len(together)
    held_out = parts.new_labels == OPEN
    assert held_out.sum() == (open_classes if isinstance(open_classes, int) else len(set(open_classes)))
    assert parts.new_labels[~held_out].tolist() == list(range((~held_out).sum()))
    assert not held_out[labels[parts.train]].any()
    assert not held_out[labels[parts.val]].any()
    assert (np.bincount(labels[parts.test], minlength=6) == test).all()
    if reserve:
        assert (np.bincount(labels[parts.val], minlength=6)[~held_out] == (3 if val is None else val)).all()


def test_validation_never_takes_from_training() -> None:
    parts = cut(CIFAR100, num_classes=100, tail=TAIL)
    counts = np.bincount(CIFAR100[parts.val], minlength=100)
    assert counts[0] == 0  # the largest class is trained on whole
    assert (counts[1:] == 20).all()
    balanced = cut(CIFAR100, num_classes=100, tail=replace(TAIL, reserve_val=True))
    assert (np.bincount(CIFAR100[balanced.val]) == 20).all()
    assert np.bincount(CIFAR100[balanced.train])[0] == 480
    assert set(parts.val.tolist()) <= set(balanced.val.tolist())


def test_held_out_classes_change_no_image_of_the_others() -> None:
    whole = class_orders(CIFAR100, num_classes=100, index_rule="cao", seed=0)
    parts = cut(CIFAR100, num_classes=100, tail=replace(TAIL, open_classes=[0, 50]))
    taken = parts.train[CIFAR100[parts.train] == 99]
    assert taken.tolist() == whole[99][: len(taken)].tolist()
    assert parts.new_labels[[0, 1, 49, 50, 51, 99]].tolist() == [OPEN, 0, 48, OPEN, 49, 97]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "expo"}, "no profile 'expo'; there are exponential, step, pareto"),
        ({"index_rule": "kang"}, "index_rule is one of cao, first_n, own, not 'kang'"),
        ({"imbalance_factor": 0.5}, "imbalance_factor is 1 or more, not 0.5"),
        ({"imbalance_factor": float("nan")}, "imbalance_factor is 1 or more, not nan"),
        ({"imbalance_factor": 1000.0}, "at most 500"),
        ({"largest": 501}, "class 0 has 500 images for training, the profile asks for 501"),
        ({"open_classes": 100}, "open_classes is from 0 to 99 of the 100 classes, not 100"),
        ({"open_classes": [3, 100]}, "open_classes names class 100, but the classes are 0 to 99"),
        ({"open_classes": range(100)}, "holds out all 100 classes"),
        ({"val_per_class": -1}, "val_per_class is 0 or more, not -1"),
        ({"test_per_class": 500}, "class 0 has too few images"),
        ({"seed": -1}, "seed is 0 or more, not -1"),
        ({"seed": 2**32}, "index_rule cao takes a seed below 2"),
    ],
)
def test_wrong_options_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("*", r"\*")):
        cut(CIFAR100, num_classes=100, tail=replace(TAIL, **change))  # type: ignore[arg-type]
