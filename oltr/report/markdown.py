"""The report of one run as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oltr.report.cells import SHOTS, cell, decimal, details, percent, rows
from oltr.report.open_section import open_section
from oltr.report.summary import FAR, headline, refusal, summary

CAPTIONS = {
    "accuracy_by_class.png": "Accuracy of each class by falling number of training images",
    "confusion.png": "Images of each shot group by group of the predicted class, without and with rejection",
    "score_histograms.png": "Scores of known and open images under the first scorers; dotted lines: operating points",
    "roc.png": "Share of known against share of open images accepted, a curve for each of the first scorers",
    "f_measures.png": "Open-set F-measures against the threshold",
    "training.png": "Losses, validation accuracy and learning rates",
}
CLOSED = {
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
    "worst_class": "worst class",
    "harmonic_mean": "harmonic mean over classes",
    "geometric_mean": "geometric mean over classes",
    "top5": "top-5",
}


CALIBRATION = {
    "ece": "ECE",
    "adaptive_ece": "adaptive ECE",
    "classwise_ece": "class-wise ECE",
    "brier": "Brier score",
    "confidence": "mean confidence",
    "nll": "negative log-likelihood (nats)",
}


def markdown(report: Mapping[str, Any], pictures: Iterable[str] = ()) -> str:
    """The whole report; ``pictures`` are the names of those that lie beside it."""
    sections = [
        f"# {cell(report['run'].get('name', 'Report'))}",
        *_warnings(report),
        _facts(report),
        _headline(report),
        *(f"![{CAPTIONS[name]}]({name})\n\n*{CAPTIONS[name]}*" for name in CAPTIONS if name in pictures),
        "## Closed set",
        _closed(report),
        "## Calibration",
        _calibration(report["calibration"]),
        "## Open set",
        open_section(report),
        "## Classes",
        _classes(report["classes"]),
        "## Provenance",
        _provenance(report),
    ]
    return "\n\n".join(sections) + "\n"


def _warnings(report: Mapping[str, Any]) -> list[str]:
    reason = refusal(report)
    return [] if reason is None else [f"> **Selected on test data:** {cell(reason)} No leaderboard takes this run."]


def _facts(report: Mapping[str, Any]) -> str:
    run, data = report["run"], report["data"]
    told = [f"{key.replace('_', ' ')} {cell(run[key])}" for key in ("dataset", "stage", "seed", "epochs") if key in run]
    images = ", ".join(f"{count:,} {name}" for name, count in data["images"].items() if count is not None)
    shots = ", ".join(f"{count} {name}" for name, count in data["shots"]["classes"].items())
    return "\n".join(
        [
            *([f"- Run: {', '.join(told)}"] if told else []),
            *_imported(report["provenance"].get("imported")),
            *_cached(report["provenance"].get("feature_cache")),
            f"- Images: {images}; {data['classes']} known classes of {data['largest_class']:,} to "
            f"{data['smallest_class']:,} training images",
            f"- Shot groups: {cell(data['shots']['rule'])} ({shots} classes)",
            "- Numbers are in percent; – stands for what is not defined.",
        ]
    )


def _imported(imported: Mapping[str, Any] | None) -> list[str]:
    """What files an imported run was made of, and what they tell of their own training."""
    if imported is None:
        return []
    files = ", ".join(f"{cell(file['name'])} (SHA-256 {file['sha256'][:12]}…)" for file in imported["files"])
    facts = {"epoch": "last epoch", "best_epoch": "best epoch", "best_acc": "validation accuracy"}
    told = "".join(f", {title} {imported[key]:g}" for key, title in facts.items() if imported.get(key) is not None)
    return [f"- Imported, not trained here: {imported['form']}, {files}{told}"]


def _cached(cache: Mapping[str, Any] | None) -> list[str]:
    """What of a frozen backbone the run was trained on, in place of images."""
    if cache is None:
        return []
    shape = " x ".join(f"{side:,}" for side in cache["shape"])
    views = f"{cache['views']} view{'s' if cache['views'] > 1 else ''} of each training image"
    return [f"- Trained from a feature cache: {cell(cache['holds'])} of {shape} in {cell(cache['precision'])}, {views}"]


def _headline(report: Mapping[str, Any]) -> str:
    chosen = headline(report)
    numbers = {
        title: value for title, value in summary(report).items() if value is not None or (chosen and title != FAR)
    }
    table = rows(list(numbers), [[percent(value) for value in numbers.values()]])
    return table if chosen is None else f"{table}\n\nOpen set by {cell(chosen.scorer)}; F at: {chosen.point['rule']}."


def _closed(report: Mapping[str, Any]) -> str:
    sets = {"test": report["closed"], "validation": report["validation"]}
    titles = ["set", "accuracy", *SHOTS, *CLOSED.values()]
    keys = ["accuracy", *SHOTS, *CLOSED]
    lines = [[name, *(percent(closed[key]) for key in keys)] for name, closed in sets.items() if closed is not None]
    counts = report["closed"]["counts"]
    groups = [
        [name, *(f"{counts[what][name]:,}" for what in ("classes", "images")), percent(report["closed"].get(key))]
        for name, key in {"overall": "accuracy", **{shot: shot for shot in SHOTS}}.items()
    ]
    return rows(titles, lines) + "\n\n" + rows(["shot group", "classes", "test images", "accuracy"], groups)


def _calibration(measured: Mapping[str, Any]) -> str:
    groups = ("overall", *SHOTS)
    lines = [
        [
            title,
            *(
                decimal(measured[key][group]) if key in ("brier", "nll") else percent(measured[key][group])
                for group in groups
            ),
        ]
        for key, title in CALIBRATION.items()
    ]
    return rows(["softmax, without rejection", *groups], lines)


def _classes(classes: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [cell(row["name"]), str(row["train_images"]), row["shot"], str(row["test_images"])]
        + [percent(row[key]) for key in ("accuracy", "precision", "f1", "accepted")]
        for row in sorted(classes, key=lambda row: -row["train_images"])
    ]
    table = rows(["class", "training images", "shot", "test images", "accuracy", "precision", "F1", "accepted"], lines)
    return details(f"{len(classes)} classes, by falling number of training images", table)


def _provenance(report: Mapping[str, Any]) -> str:
    command = report["run"].get("command")
    plain = json.dumps({"run": report["run"], **report["provenance"]}, indent=2, ensure_ascii=False, default=str)
    folded = details("Config, versions, hardware", f"```json\n{plain}\n```")
    return folded if command is None else f"To reproduce:\n\n```sh\n{command}\n```\n\n{folded}"
