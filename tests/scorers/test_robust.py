"""Every scorer of ours on every hard case: finite scores, or one line that says why not.

The cases stand in the conformance kit, which third parties call too; here they meet worlds of other shapes.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from oltr import testing
from oltr.contracts import UserError
from oltr.plugins import SCORERS
from oltr.testing.worlds import hard, long_tail, usual

OURS = sorted(plugin.name for plugin in SCORERS.plugins if plugin.distribution == "oltr")
SHAPES = {
    "as many dimensions as classes and some": (5, 8),
    "more classes than dimensions": (10, 4),
    "two classes": (2, 3),
    "many dimensions": (3, 40),
    "one class": (1, 2),
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "energy": [{"temperature": 0.01}, {"temperature": 100}],
    "ash": [{"variant": "p"}, {"variant": "b"}, {"percentile": 99.9}, {"percentile": 0}],
    "scale": [{"percentile": 99.9}, {"percentile": 0}],
    "react": [{"percentile": 99.9}],
    "dice": [{"percentile": 0}, {"percentile": 70}],
    "gen": [{"gamma": 1}, {"largest": 1}],
    "openmax": [{"alpha": 3}, {"tail": 2, "least_images": 2}],
    "prior_adjusted_msp": [{"tau": 0}, {"tau": 0.5}],
    "prior_adjusted_energy": [{"tau": 0}, {"tau": 0.5}],
    "class_conditional": [{"base": "max_logit"}, {"base": "energy", "shrinkage": 0.1}],
    "odin": [{"temperature": 1}, {"epsilon": 0}, {"std": [0.229, 0.224, 0.225]}],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", OURS)
def test_a_scorer_stands_every_case(name: str, shape: tuple[int, int]) -> None:
    num_classes, feature_dim = shape
    testing.check_scorer(name, num_classes=num_classes, feature_dim=feature_dim)


@pytest.mark.parametrize(("name", "options"), [(name, options) for name in OPTIONS for options in OPTIONS[name]])
def test_a_scorer_stands_every_case_with_other_options(name: str, options: dict[str, Any]) -> None:
    testing.check_scorer(name, options=options)


@pytest.mark.parametrize("name", [name for name in OURS if name != "odin"])
def test_ours_refuse_nothing_but_no_image(name: str) -> None:
    for case, world in hard(5, 8):
        scorer: Any = SCORERS.build(name, {}, num_classes=len(world.counts), train_counts=world.train_counts)
        needs = "needs_train" if case == "no training image" else "needs_val"
        if case in ("no training image", "no validation image") and getattr(scorer, needs, False):
            with pytest.raises(UserError, match=f"{name} is fitted on .* images, and there are none; .* works without"):
                scorer.fit(world.known(scorer))
            continue
        if hasattr(scorer, "fit"):
            scorer.fit(world.known(scorer))
        with_centroids = getattr(scorer, "needs_centroids", False)
        for images in (world.clear, world.far):
            assert scorer(world.outputs(images, with_centroids)).isfinite().all(), case


def test_all_are_here() -> None:
    assert len(OURS) == 30
    assert set(OPTIONS) <= set(OURS)


def test_the_cases_are_what_they_say() -> None:
    """A case that does not hold would check nothing."""
    cases = dict(hard(5, 8))
    counts = {case: world.train_labels.bincount(minlength=len(world.counts)) for case, world in cases.items()}
    assert all(counts[case].tolist() == world.counts for case, world in cases.items())
    assert counts["one training image in a class"].min() == 1
    assert counts["a class without training images"].min() == 0 < counts["a class without training images"].max()
    assert counts["no training image"].sum() == 0
    assert len(cases["no validation image"].val) == 0
    few = cases["fewer images than dimensions"]
    assert len(few.train) == 5 < few.train.shape[1]
    narrow = cases["fewer dimensions than classes"]
    assert narrow.train.shape[1] < len(narrow.counts)
    assert cases["one class"].counts == [20]
    assert cases["constant features"].train.unique().tolist() == [1]
    assert cases["features that are all 0"].val.unique().tolist() == [0]
    assert cases["a constant feature"].train[:, -1].unique().tolist() == [1]
    assert cases["a constant feature"].train[:, 0].std() > 0.1
    large = cases["logits up to 1e4"]
    torch.testing.assert_close(large.outputs(large.train).logits.abs().max(), torch.tensor(1e4))
    assert cases["features of 1e3"].train.max() > 3e3
    right = {case: _right(world) for case, world in cases.items()}
    assert right["no image classified rightly"].sum() == 0
    assert right["no image of a class classified rightly"][-1] == 0 < right["no image of a class classified rightly"][0]


def test_the_usual_world_is_long_tailed_and_learnt() -> None:
    world = usual(5, 8)
    assert world.counts == long_tail(5) == [120, 48, 19, 8, 3]
    assert (_right(world) == torch.tensor(world.counts)).all()
    assert (world.train >= 0).all()


def _right(world: Any) -> torch.Tensor:
    """Rightly classified training images by class."""
    right = world.outputs(world.train).logits.argmax(dim=1) == world.train_labels
    return world.train_labels[right].bincount(minlength=len(world.counts))
