"""What is drawn is what the report says: read back from the artists."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex

from oltr.report.class_pictures import accuracy_by_class, confusion
from oltr.report.open_pictures import f_against_threshold, roc, score_histograms
from oltr.report.pictures import pictures
from oltr.report.style import COLOURS, png
from oltr.report.training_picture import training_curves

Make = Callable[..., dict[str, Any]]
HISTORY = [
    {
        "epoch": epoch,
        "epochs": 3,
        "lr": {"backbone": 0.1 / (epoch + 1), "memory": 0.01},
        "loss": {"total": 3.0 - epoch, "focal": 2.5 - epoch},
        "val": {"accuracy": 0.1 * epoch, "many": 0.2 * epoch, "medium": 0.05, "few": None},
    }
    for epoch in range(3)
]


def test_accuracy_by_class_is_sorted_by_training_count(make_report: Make) -> None:
    report = make_report()
    report["classes"].reverse()
    figure = accuracy_by_class(report)
    rows = sorted(report["classes"], key=lambda row: -row["train_images"])
    bars = [patch for patch in figure.axes[0].patches if patch.get_width() == 0.85]
    np.testing.assert_allclose([bar.get_height() for bar in bars], [100 * row["accuracy"] for row in rows])
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == [COLOURS[row["shot"]] for row in rows]
    counts, _, _ = figure.axes[1].patches[0].get_data()
    assert list(counts) == [row["train_images"] for row in rows]
    shown = {text.get_text().split()[0]: text.get_text() for text in figure.axes[0].texts}
    assert set(shown) == {"many", "medium", "few"}
    for shot, text in shown.items():
        assert f"({report['data']['shots']['classes'][shot]})\n{report['closed'][shot] * 100:.1f} %" in text


def test_many_classes_are_points_with_a_running_mean(make_report: Make) -> None:
    report = make_report(classes=300)
    axes = accuracy_by_class(report).axes[0]
    accuracies = np.array([row["accuracy"] for row in report["classes"]]) * 100
    np.testing.assert_allclose(axes.collections[0].get_offsets()[:, 1], accuracies)
    mean = axes.lines[0].get_ydata()
    assert mean[100] == pytest.approx(accuracies[93:108].mean())  # 300 // 20 = 15 neighbours
    assert mean[0] == pytest.approx(accuracies[:8].mean())


def test_confusion_shows_the_shares_in_percent(make_report: Make) -> None:
    report = make_report()
    closed, rejected = confusion(report).axes
    point = next(iter(report["open"]["msp"]["operating_points"].values()))
    for axes, table in ((closed, report["confusion"]), (rejected, point["confusion"])):
        np.testing.assert_allclose(
            axes.images[0].get_array(), [[100 * share for share in row.values()] for row in table.values()]
        )
    assert [label.get_text() for label in rejected.get_xticklabels()] == ["many", "medium", "few", "rejected"]
    assert [label.get_text() for label in rejected.get_yticklabels()] == ["many", "medium", "few", "open"]


def test_roc_has_the_curve_and_the_area_of_every_scorer_that_ran(make_report: Make) -> None:
    report = make_report()
    figure = roc(report)
    assert figure is not None
    _, *lines = figure.axes[0].lines
    assert len(lines) == 2
    for line, name in zip(lines, ("msp", "norm"), strict=True):
        entry = report["open"][name]
        np.testing.assert_allclose(line.get_xdata(), np.array(entry["curves"]["roc"]["open_accepted"]) * 100)
        np.testing.assert_allclose(line.get_ydata(), np.array(entry["curves"]["roc"]["known_accepted"]) * 100)
        assert f"{name}   AUROC {entry['ranking']['auroc']:.3f}" == line.get_label()


def test_f_measures_are_drawn_with_their_operating_points(make_report: Make) -> None:
    report = make_report()
    figure = f_against_threshold(report)
    assert figure is not None
    lines = figure.axes[0].lines
    entry = report["open"]["msp"]
    data = entry["curves"]["f_measures"]
    for line, name in zip(lines, ("f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1"), strict=False):
        np.testing.assert_allclose(line.get_ydata(), np.array(data[name], dtype=float))
        np.testing.assert_allclose(line.get_xdata(), data["threshold"])
    marks = [line.get_xdata()[0] for line in lines[4:]]
    points = entry["operating_points"]
    assert marks == [points["known_acceptance_0.9"]["threshold"], points["fixed_0.3"]["threshold"]]
    assert points["per_class"]["threshold"] is None  # one for each class has no place on this axis


def test_histograms_have_a_panel_a_scorer_and_the_three_kinds(make_report: Make) -> None:
    report = make_report()
    figure = score_histograms(report)
    assert figure is not None
    for axes, name in zip(figure.axes, ("msp", "norm"), strict=True):
        shares = report["open"][name]["curves"]["histogram"]["shares"]
        outlines = [patch for patch in axes.patches if patch.get_label() and not patch.get_label().startswith("_")]
        assert [patch.get_label() for patch in outlines] == ["known, many and medium", "known, few", "open"]
        for patch, kind in zip(outlines, ("common", "few", "open"), strict=True):
            np.testing.assert_allclose(patch.get_data().values, np.array(shares[kind]) * 100)


def test_a_far_open_set_has_its_histogram(make_report: Make) -> None:
    report = make_report(far=True)
    figure = score_histograms(report)
    assert figure is not None
    outlines = {patch.get_label(): patch for patch in figure.axes[0].patches}
    expected = np.array(report["open"]["msp"]["curves"]["histogram"]["shares"]["far"]) * 100
    np.testing.assert_allclose(outlines["far open"].get_data().values, expected)


def test_pictures_show_the_first_six_scorers_and_say_so(make_report: Make) -> None:
    report = make_report()
    entry = report["open"]["msp"]
    report["open"] = {"left out": {"skipped": "why"}} | {f"scorer {index}": entry for index in range(9)}
    drawn = roc(report), score_histograms(report)
    for figure in drawn:
        assert figure is not None
        assert "the first 6 of 9 scorers" in figure.get_suptitle()
    labels = [line.get_label().split("   ")[0] for line in drawn[0].axes[0].lines[1:]]
    assert labels == [f"scorer {index}" for index in range(6)]
    panels = [axes.get_xlabel().split("   ")[0] for axes in drawn[1].axes if axes.get_xlabel()]
    assert panels == labels
    assert "first" not in roc(make_report()).get_suptitle()


def test_training_curves_count_epochs_from_one(make_report: Make) -> None:
    figure = training_curves(make_report(best_epoch=1), HISTORY)
    assert figure is not None
    drawn = [{line.get_label(): line for line in axes.lines} for axes in figure.axes]
    assert drawn[0]["total"].get_xdata().tolist() == [1, 2, 3]
    assert drawn[0]["focal"].get_ydata().tolist() == [2.5, 1.5, 0.5]
    np.testing.assert_allclose(drawn[1]["many"].get_ydata(), [0, 20, 40])
    assert "few" not in drawn[1]  # nothing to draw
    assert drawn[1]["evaluated"].get_xdata() == [2, 2]
    np.testing.assert_allclose(drawn[2]["backbone"].get_ydata(), [0.1, 0.05, 0.1 / 3])


def test_without_open_set_or_training_there_are_two_pictures(make_report: Make) -> None:
    report = make_report(unknown=False)
    assert list(pictures(report)) == ["accuracy_by_class.png", "confusion.png"]
    assert len(confusion(report).axes) == 1


def test_any_class_name_can_be_drawn(make_report: Make) -> None:
    names = ["$x_1", "字", "a" * 300, "\\frac{1}$", "", "😀"]
    drawn = png(accuracy_by_class(make_report(names=names)))
    pixels = matplotlib.image.imread(BytesIO(drawn), format="png")
    assert pixels.shape[1] == 960
    assert (pixels[..., :3] < 0.9).any()
