"""Every number of a report of fifteen images, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from oltr.contracts import OPEN, HeldOut, Known, Outputs, UserError
from oltr.evaluation import evaluate
from oltr.metrics.shots import shot_rule
from oltr.prediction_writer import PredictionWriter
from oltr.predictions import Predictions
from oltr.thresholds.fixed import Fixed
from oltr.thresholds.known_acceptance import KnownAcceptance
from oltr.thresholds.open_validation import OpenValidation

# labels, predicted classes, scores
TEST = ([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 2], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
VAL = ([0, 1, 2, 0], [0, 1, 2, 1], [0.1, 0.2, 0.3, 0.4])
UNKNOWN = ([OPEN] * 3, [2, 2, 2], [0.25, 0.45, 0.9])


class FirstFeature:
    """A score that the test sets."""

    def __call__(self, outputs: Outputs) -> Tensor:
        return outputs.features[:, 0]


class Distance:
    needs_centroids = True

    def __call__(self, outputs: Outputs) -> Tensor:
        assert outputs.centroids is not None
        return (outputs.features - outputs.centroids[0]).abs()[:, 0]


class Broken:
    def __call__(self, outputs: Outputs) -> Tensor:
        return outputs.features[:, 0].where(outputs.features[:, 0] < 0.55, torch.nan)


def stored(path: Path, *, centroids: Any = None, **parts: Any) -> Predictions:
    with PredictionWriter(
        path,
        num_classes=3,
        feature_dim=1,
        train_counts=[200, 50, 5],
        class_names=["a", "b", "c"],
        provenance={"oltr": "1"},
    ) as writer:
        if centroids is not None:
            writer.centroids(centroids, "class means")
        for name, (labels, predicted, scores) in parts.items():
            features, logits = np.array(scores)[:, None], np.eye(3)[predicted] * 4
            writer.add(name, features, logits, np.array(labels), [f"{name}/{index}" for index in range(len(labels))])
    return Predictions.open(path)


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN)
    scorers = {"first": FirstFeature(), "distance": Distance()}
    return evaluate(
        predictions,
        scorers=scorers,
        rule=shot_rule(),
        thresholds=[KnownAcceptance(rate=0.75)],
        run={"name": "r", "seed": 3},
    )


def test_closed_set(report: dict[str, Any]) -> None:
    closed, validation = report["closed"], report["validation"]
    assert closed["accuracy"] == pytest.approx(4 / 6)
    assert [closed[group] for group in ("many", "medium", "few")] == [0.5, 1.0, 0.5]
    assert (validation["accuracy"], validation["many"]) == (0.75, 0.5)
    assert report["confusion"]["many"] == {"many": 0.5, "medium": 0.5, "few": 0.0}
    assert report["confusion"]["few"] == {"many": 0.5, "medium": 0.0, "few": 0.5}


def test_ranking_and_each_group_against_the_open_set(report: dict[str, Any]) -> None:
    first = report["open"]["first"]
    assert first["ranking"]["auroc"] == pytest.approx(12 / 18)  # pairs with the open image above: 2 + 4 + 6
    assert first["ranking"]["fpr_at_95_known"] == pytest.approx(2 / 3)
    # right known images below each open score: .1 .3 .4 .6 are right, so 1 + 3 + 4 of 6
    assert first["ranking"]["oscr"] == pytest.approx((1 + 3 + 4) / 18)
    assert first["groups"]["auroc"] == {"many": 1.0, "medium": pytest.approx(4 / 6), "few": pytest.approx(2 / 6)}


def test_operating_point_at_three_of_four_validation_images(report: dict[str, Any]) -> None:
    points = report["open"]["first"]["operating_points"]
    assert list(points) == ["known_acceptance_0.75"]
    point = points["known_acceptance_0.75"]
    assert point["threshold"] == pytest.approx(0.3)
    assert point["known_acceptance"] == 0.5
    assert point["open_set_accuracy"] == pytest.approx(2 / 3)
    assert point["accuracy"] == pytest.approx(2 / 6)
    assert [point[group] for group in ("many", "medium", "few")] == [0.5, 0.5, 0.0]
    # accepted: two right, one wrong, one open; three known images rejected
    assert point["f_oltr2020"]["overall"] == pytest.approx(4 / (4 + 4 + 1))
    assert point["f_oltr2019"]["overall"] == pytest.approx(4 / (4 + 1 + 1))
    assert point["f_micro"]["overall"] == pytest.approx(4 / (4 + 2 + 4))
    assert point["confusion"]["medium"] == {"many": 0.0, "medium": 0.5, "few": 0.0, "open": 0.5}
    assert point["confusion"]["open"]["few"] == pytest.approx(1 / 3)
    assert point["confusion"]["open"]["open"] == pytest.approx(2 / 3)


def test_class_table(report: dict[str, Any]) -> None:
    columns = {key: [row[key] for row in report["classes"]] for key in report["classes"][0]}
    assert columns["name"] == ["a", "b", "c"]
    assert columns["train_images"] == [200, 50, 5]
    assert columns["shot"] == ["many", "medium", "few"]
    assert columns["test_images"] == [2, 2, 2]
    assert columns["accuracy"] == [0.5, 1.0, 0.5]
    assert columns["precision"] == pytest.approx([1 / 2, 2 / 3, 1], abs=1e-6)
    assert columns["f1"] == pytest.approx([1 / 2, 4 / 5, 2 / 3], abs=1e-6)
    assert columns["accepted"] == [1.0, 0.5, 0.0]


def test_facts(report: dict[str, Any]) -> None:
    assert report["run"] == {"name": "r", "seed": 3, "test_selected": False, "test_selected_because": []}
    assert report["provenance"] == {"oltr": "1"}
    assert report["data"]["images"] == {
        **{"train": 255, "val": 4, "test": 6, "open": 3},
        **{"open_val": None, "far": None},
    }
    assert report["data"]["shots"]["classes"] == {"many": 1, "medium": 1, "few": 1}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_a_scorer_without_its_centroids_is_skipped_with_the_reason(report: dict[str, Any]) -> None:
    assert list(report["open"]) == ["first", "distance"]
    assert "centroids" in report["open"]["distance"]["skipped"]


def test_centroids_reach_the_scorer(tmp_path: Path) -> None:
    predictions = stored(tmp_path / "p.h5", test=TEST, open=UNKNOWN, centroids=np.array([[1.0], [0], [0]]))
    found = evaluate(predictions, scorers={"distance": Distance()}, rule=shot_rule())["open"]["distance"]
    assert found["ranking"]["auroc"] == pytest.approx(1 - 12 / 18)  # the score turned round
    assert found["operating_points"] == {}


def test_a_fixed_confidence_accepts_what_is_equal_to_it(tmp_path: Path) -> None:
    class Negative:
        def __call__(self, outputs: Outputs) -> Tensor:
            return -outputs.features[:, 0]

    predictions = stored(tmp_path / "p.h5", test=TEST, open=UNKNOWN)
    found = evaluate(
        predictions, scorers={"msp": Negative()}, rule=shot_rule(), thresholds=[Fixed(scorer="msp", confidence=0.3)]
    )
    point = found["open"]["msp"]["operating_points"]["fixed_0.3"]
    assert point["counts"] == {"known": 6, "known_accepted": 4, "known_right": 3, "open": 3, "open_accepted": 2}


def test_without_an_open_set_it_says_so(tmp_path: Path) -> None:
    found = evaluate(stored(tmp_path / "p.h5", test=TEST), scorers={"first": FirstFeature()}, rule=shot_rule())
    assert found["open"] is None
    assert "open set" in found["open_note"]
    assert found["validation"] is None
    assert found["closed"]["accuracy"] == pytest.approx(4 / 6)
    assert [row["accepted"] for row in found["classes"]] == [None] * 3


def test_empty_shot_groups_are_none(tmp_path: Path) -> None:
    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN)
    found = evaluate(predictions, scorers={"first": FirstFeature()}, rule=shot_rule(many=100, few=1))
    assert found["closed"]["few"] is None
    assert found["open"]["first"]["groups"]["auroc"]["few"] is None
    assert found["open"]["first"]["curves"]["histogram"]["shares"]["few"] is None
    json.dumps(found, allow_nan=False)


def test_mistakes_are_named(tmp_path: Path) -> None:
    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN)
    found = evaluate(predictions, scorers={"broken": Broken(), "first": FirstFeature()}, rule=shot_rule())["open"]
    told = "it must give one finite number an image; for 6 images of part test it gave (6,), 5 of them finite"
    assert found["broken"] == {"skipped": told}
    assert found["first"]["ranking"]["auroc"] == pytest.approx(12 / 18)
    with pytest.raises(UserError, match="no predictions of the test set"):
        evaluate(stored(tmp_path / "q.h5", val=VAL), scorers={}, rule=shot_rule())


def without_features(path: Path) -> Predictions:
    """The test images and the open ones by their logits alone."""
    with PredictionWriter(
        path, num_classes=3, feature_dim=0, train_counts=[200, 50, 5], class_names=["a", "b", "c"], provenance={}
    ) as writer:
        for name, (labels, predicted, scores) in (("test", TEST), ("open", UNKNOWN)):
            logits = np.eye(3)[predicted] * np.array(scores)[:, None]
            ids = [f"{name}/{index}" for index in range(len(labels))]
            writer.add(name, np.empty((len(labels), 0)), logits, np.array(labels), ids)
    return Predictions.open(path)


def test_without_features_only_what_logits_tell_is_scored(tmp_path: Path) -> None:
    class Largest:
        def __call__(self, outputs: Outputs) -> Tensor:
            return outputs.logits.amax(dim=1)

    class Length:
        """Of features of width 0 this would be 0: a number, and a wrong one."""

        def __call__(self, outputs: Outputs) -> Tensor:
            return outputs.features.norm(dim=1)

    class Spread:
        """Fails on an image whose features it does not know."""

        def __call__(self, outputs: Outputs) -> Tensor:
            return outputs.features @ torch.ones(7)

    scorers = {"length": Length(), "spread": Spread(), "distance": Distance(), "largest": Largest()}
    found = evaluate(without_features(tmp_path / "p.h5"), scorers=scorers, rule=shot_rule())
    for name in ("length", "spread"):
        assert found["open"][name] == {"skipped": "it needs features, and the predictions were stored without any"}
    assert "needs class centroids" in found["open"]["distance"]["skipped"]
    assert found["open"]["largest"]["ranking"]["auroc"] == pytest.approx(12 / 18)
    assert found["closed"]["accuracy"] == pytest.approx(4 / 6)


def test_without_validation_images_it_says_that_no_threshold_is_set_on_them(
    tmp_path: Path, report: dict[str, Any]
) -> None:
    found = evaluate(stored(tmp_path / "q.h5", test=TEST, open=UNKNOWN), scorers={}, rule=shot_rule())
    assert found["open_note"].startswith("There are no predictions of the validation set, so no threshold")
    assert report["open_note"] is None


FAR = ([OPEN] * 2, [0, 1], [0.15, 0.95])
OPEN_VAL = ([OPEN] * 2, [2, 0], [0.5, 0.7])


def test_the_far_open_set_stands_beside_the_near_one(tmp_path: Path) -> None:
    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN, far=FAR)
    rules = [KnownAcceptance(rate=0.75)]
    found = evaluate(predictions, scorers={"first": FirstFeature()}, rule=shot_rule(), thresholds=rules)
    first = found["open"]["first"]
    assert first["ranking"]["auroc"] == pytest.approx(12 / 18)
    assert first["far"]["ranking"]["auroc"] == pytest.approx((1 + 6) / 12)
    assert first["far"]["groups"]["auroc"]["few"] == 0.5
    point = first["operating_points"]["known_acceptance_0.75"]
    assert point["far_open_accuracy"] == 0.5
    assert point["false_rejection"] == {"overall": 0.5, "many": 0, "medium": 0.5, "few": 1}
    assert found["data"]["images"]["far"] == 2
    assert first["curves"]["rejection"]["far"][-1] == 0.5


def test_a_rule_of_classes_rejects_by_the_predicted_class(tmp_path: Path) -> None:
    class ByClass:
        label, rule = "by_class", "as the test says"

        def __call__(self, held_out: HeldOut) -> Any:
            assert held_out.open_scores is None
            assert held_out.scores.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
            return np.array([0.15, 0.35, 0.95])

    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN)
    found = evaluate(predictions, scorers={"first": FirstFeature()}, rule=shot_rule(), thresholds=[ByClass()])
    point = found["open"]["first"]["operating_points"]["by_class"]
    assert (point["threshold"], point["class_thresholds"]) == (None, [0.15, 0.35, 0.95])
    # predicted 0 at .1 .5, 1 at .2 .3 .4, 2 at .6: rejected .5 and .4; of the open ones, all predicted 2, none
    assert point["counts"] == {"known": 6, "known_accepted": 4, "known_right": 3, "open": 3, "open_accepted": 3}
    assert [row["accepted"] for row in found["classes"]] == [1, 0.5, 0.5]


def test_a_rule_sees_the_open_validation_set_and_says_where_it_has_none(tmp_path: Path) -> None:
    rules = [OpenValidation()]
    with_it = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN, open_val=OPEN_VAL)
    found = evaluate(with_it, scorers={"first": FirstFeature()}, rule=shot_rule(), thresholds=rules)
    (point,) = found["open"]["first"]["operating_points"].values()
    assert 0.4 <= point["threshold"] < 0.5  # the one that parts them
    assert found["thresholds_skipped"] == {}
    without = stored(tmp_path / "q.h5", val=VAL, test=TEST, open=UNKNOWN)
    found = evaluate(without, scorers={"first": FirstFeature()}, rule=shot_rule(), thresholds=rules)
    assert found["open"]["first"]["operating_points"] == {}
    assert "open validation" in found["thresholds_skipped"][rules[0].label]


class Fitted:
    """The distance to the mean training feature, less the mean of the validation scores."""

    needs_train = True
    needs_val = True

    def fit(self, known: Known) -> None:
        self.mean = torch.cat([outputs.features for outputs, _ in known.train()]).mean()
        self.seen = torch.cat([labels for _, labels in known.train()]).tolist()
        self.val = torch.cat([outputs.features for outputs, _ in known.val()]).mean()

    def __call__(self, outputs: Outputs) -> Tensor:
        return (outputs.features[:, 0] - self.mean).abs() - self.val


def test_scorers_are_fitted_on_training_and_validation_images(tmp_path: Path) -> None:
    predictions = stored(tmp_path / "p.h5", fit=([0, 2], [0, 0], [0.2, 0.4]), val=VAL, test=TEST, open=UNKNOWN)
    scorer = Fitted()
    found = evaluate(predictions, scorers={"fitted": scorer}, rule=shot_rule())
    assert (scorer.seen, scorer.mean.item(), scorer.val.item()) == ([0, 2], pytest.approx(0.3), pytest.approx(0.25))
    # distances: test .2 .1 0 .1 .2 .3, open .05 .15 .6
    assert found["open"]["fitted"]["ranking"]["auroc"] == pytest.approx((1 + 3 + 6) / 18)
    assert "fit" not in found["data"]["images"]


def test_what_a_store_lacks_for_a_scorer_is_said(tmp_path: Path) -> None:
    class Head(FirstFeature):
        needs_head = True

    class Ran(FirstFeature):
        needs_network = True

    class Failing(FirstFeature):
        def fit(self, known: Known) -> None:
            raise ValueError("no luck\nat all")

    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN)
    scorers = {"fitted": Fitted(), "head": Head(), "ran": Ran(), "failing": Failing(), "first": FirstFeature()}
    found = evaluate(predictions, scorers=scorers, rule=shot_rule())["open"]
    assert "fitted on training images" in found["fitted"]["skipped"]
    assert "linear last layer" in found["head"]["skipped"]
    assert "runs the network" in found["ran"]["skipped"]
    assert found["failing"]["skipped"] == "it failed: ValueError: no luck"
    assert found["first"]["ranking"]["auroc"] == pytest.approx(12 / 18)


def test_a_validation_set_of_test_images_is_told(tmp_path: Path) -> None:
    def named(path: Path, prefix: str) -> dict[str, Any]:
        with PredictionWriter(
            path, num_classes=3, feature_dim=1, train_counts=[9, 9, 9], class_names=["a", "b", "c"], provenance={}
        ) as writer:
            for part, (labels, predicted, scores) in (("val", VAL), ("test", TEST), ("open", UNKNOWN)):
                logits = np.eye(3)[predicted] * (np.arange(len(labels)) + 1)[:, None]
                ids = [f"{prefix if part == 'val' else part}/{index}" for index in range(len(labels))]
                writer.add(part, np.array(scores)[:, None], logits, np.array(labels), ids)
        return evaluate(Predictions.open(path), scorers={}, rule=shot_rule())["run"]

    assert not named(tmp_path / "p.h5", "val")["test_selected"]
    told = named(tmp_path / "q.h5", "test")  # the first three of the four have the logits of the test image
    assert told == {"test_selected": True, "test_selected_because": ["3 validation images are test images"]}
    said = evaluate(stored(tmp_path / "r.h5", test=TEST), scorers={}, rule=shot_rule(), run={"test_selected": True})[
        "run"
    ]
    assert said["test_selected_because"] == ["the config says that something in it was chosen on the test set"]


def test_a_rule_that_fails_or_gives_no_number_is_told_and_costs_the_others_nothing(tmp_path: Path) -> None:
    class Rule:
        rule = "as the test says"

        def __init__(self, label: str, give: Any) -> None:
            self.label, self.give = label, give

        def __call__(self, held_out: HeldOut) -> Any:
            return self.give(held_out)

    rules = [
        Rule("nan", lambda held_out: float("nan")),
        Rule("short", lambda held_out: np.zeros(2)),
        Rule("broken", lambda held_out: held_out.missing),
        Rule("not meant", lambda held_out: None),
        Rule("good", lambda held_out: 0.3),
    ]
    predictions = stored(tmp_path / "p.h5", val=VAL, test=TEST, open=UNKNOWN)
    found = evaluate(predictions, scorers={"first": FirstFeature()}, rule=shot_rule(), thresholds=rules)
    assert list(found["open"]["first"]["operating_points"]) == ["good"]
    assert found["thresholds_skipped"].keys() == {"nan", "short", "broken"}
    assert found["thresholds_skipped"]["nan"].endswith("not nan")
    assert "AttributeError" in found["thresholds_skipped"]["broken"]
