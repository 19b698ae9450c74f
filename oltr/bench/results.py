"""Results as flat rows, one for each run and scorer: what tables are made of, and what another tool reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oltr.atomic import write_bytes
from oltr.bench.plan import Job

Row = Mapping[str, Any]
Report = Mapping[str, Any]

SHOTS = ("many", "medium", "few")
CLOSED = ("accuracy", *SHOTS)
RANKING = ("auroc", "aupr_in", "aupr_out", "fpr_at_95_known", "frr_at_95_open", "oscr")
BY_GROUP = ("auroc", "fpr_at_95_known", "frr_at_95_open")
F_MEASURES = ("f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1", "f1_macro_known", "f1_unknown")
OVERALL = {"overall": "known", **{shot: shot for shot in SHOTS}}
OPEN_COLUMNS = (
    *RANKING,
    *(f"{key}_{shot}" for key in BY_GROUP for shot in SHOTS),
    *(f"{key}_far" for key in ("auroc", "fpr_at_95_known", "oscr")),
    *(f"auroc_far_{shot}" for shot in SHOTS),
    *("operating_point", "threshold"),
    *F_MEASURES,
    *(f"false_rejection_{name}" for name in OVERALL.values()),
    *("open_accuracy", "far_open_accuracy"),
)
"""Keys of a row that hold numbers of one scorer; null where it was skipped or there is no open set."""
COLUMNS = (
    *("suite", "method", "seed", "scorer", "config", "run", "failed", "skipped", "test_selected"),
    *("test_selected_because", *CLOSED, "ece", "nll", *OPEN_COLUMNS),
    *("images_seen", "parameters", "pretraining", "data", "test_images", "open_images", "far_images", "seconds"),
)
"""Every key of a row, in its order; docs/bench.md says what each means."""


def rows_of(suite: str, job: Job, report: Report) -> list[Row]:
    """One row a scorer of the report; one without a scorer where there is no open set."""
    run = report["run"]
    facts = {
        **_named(suite, job),
        "test_selected": bool(run.get("test_selected")),
        "test_selected_because": " ".join(run.get("test_selected_because") or ()) or None,
        **{key: report["closed"][key] for key in CLOSED},
        **{key: report["calibration"][key]["overall"] for key in ("ece", "nll")},
        **_budget(job, report),
    }
    scorers = report["open"] or {None: {"skipped": report["open_note"]}}
    return [_ordered({**facts, "scorer": name, **_scored(entry)}) for name, entry in scorers.items()]


def failed_row(suite: str, job: Job, failure: str) -> Row:
    """The row of a run that has no result."""
    return _ordered({**_named(suite, job), "failed": failure})


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """JSON lines, which `pandas.read_json(path, lines=True)` reads."""
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode("utf-8"))


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Those that a leaderboard takes: runs with a result in which nothing was chosen on test data."""
    return [row for row in rows if row["failed"] is None and not row["test_selected"]]


def scorers_in(rows: Iterable[Row]) -> list[str]:
    """The scorers that have numbers in some run, in the order of the reports: the first is the headline's."""
    return list(dict.fromkeys(row["scorer"] for row in rows if row["scorer"] is not None and row["skipped"] is None))


def methods_in(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def of(rows: Iterable[Row], method: str, scorer: str | None) -> list[Row]:
    """A method's rows with one scorer, one a seed; where that scorer is None, one row of each seed all the same."""
    chosen: dict[int, Row] = {}
    for row in rows:
        if row["method"] == method and scorer in (None, row["scorer"]):
            chosen.setdefault(row["seed"], row)
    return list(chosen.values())


def values(rows: Sequence[Row], key: str) -> list[float]:
    """Those that are there."""
    return [float(row[key]) for row in rows if row[key] is not None]


def _named(suite: str, job: Job) -> dict[str, Any]:
    return {
        "suite": suite,
        "method": job.method,
        "seed": job.seed,
        "config": job.config.as_posix(),
        "run": job.folder.path.as_posix(),
    }


def _budget(job: Job, report: Report) -> dict[str, Any]:
    """What the numbers cost, over the whole chain of stages, and what they were measured on."""
    run, provenance, images = report["run"], report["provenance"], report["data"]["images"]
    before = provenance.get("before")
    seen = [run["images_seen"], 0 if before is None else before.get("images_seen")]
    return {
        "images_seen": None if None in seen else sum(seen),
        "parameters": provenance.get("parameters"),
        "pretraining": "imported weights" if provenance.get("imported") else job.pretraining,
        "data": provenance["data"].get("sha256"),
        "test_images": images["test"],
        "open_images": images["open"],
        "far_images": images.get("far"),
        "seconds": run["seconds"],
    }


def _scored(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one scorer, at its first operating point where it has one."""
    if "skipped" in entry:
        return {"skipped": entry["skipped"]}
    found = {key: entry["ranking"][key] for key in RANKING}
    found |= {f"{key}_{shot}": entry["groups"][key][shot] for key in BY_GROUP for shot in SHOTS}
    far = entry["far"]
    if far is not None:
        found |= {f"{key}_far": far["ranking"][key] for key in ("auroc", "fpr_at_95_known", "oscr")}
        found |= {f"auroc_far_{shot}": far["groups"]["auroc"][shot] for shot in SHOTS}
    for label, point in entry["operating_points"].items():
        found |= {"operating_point": label, "threshold": point["threshold"]}
        found |= {key: point[key]["overall"] for key in F_MEASURES}
        found |= {f"false_rejection_{name}": point["false_rejection"][group] for group, name in OVERALL.items()}
        found |= {"open_accuracy": point["open_set_accuracy"], "far_open_accuracy": point["far_open_accuracy"]}
        break
    return found


def _ordered(found: Mapping[str, Any]) -> Row:
    unknown = found.keys() - set(COLUMNS)
    if unknown:
        raise KeyError(f"no column {min(unknown)!r}")
    return {key: found.get(key, False if key == "test_selected" else None) for key in COLUMNS}
