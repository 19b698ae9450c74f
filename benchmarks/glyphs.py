"""The study on Glyphs-LT: plain, CFL, OLTR and OLTR with CFL over several seeds, as a table with standard deviations.

Command: python -m benchmarks.glyphs [--seeds 3] [--out runs] [key.path=value …]
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oltr.report import compare
from oltr.run import Request, run_stage

CONFIGS = Path("config/Glyphs_LT")
METHODS = {
    "plain": "stage_1",
    "CFL": "stage_1_cfl",
    "OLTR": "stage_2_meta_embedding",
    "OLTR + CFL": "stage_2_cfl_meta_embedding",
}
RESULTS = Path(__file__).parent / "results"
COLUMNS = {
    "all": ("closed", "accuracy"),
    "many": ("closed", "many"),
    "medium": ("closed", "medium"),
    "few": ("closed", "few"),
    "AUROC": ("ranking", "auroc"),
    "FPR@95known": ("ranking", "fpr_at_95_known"),
    "OSCR": ("ranking", "oscr"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    reports = {
        method: [study(name, seed, chosen.out, tuple(chosen.overrides)) for seed in range(chosen.seeds)]
        for method, name in METHODS.items()
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "glyphs.md").write_text(page(reports), encoding="utf-8")
    facts = {method: [numbers(report) for report in runs] for method, runs in reports.items()}
    (RESULTS / "glyphs.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(page(reports))


def study(name: str, seed: int, out: Path, overrides: tuple[str, ...]) -> dict[str, Any]:
    """The report of one run; one that is done already is read, one that was cut goes on."""
    request = Request(
        config=CONFIGS / f"{name}.yaml",
        overrides=overrides,
        out=out,
        seed=seed,
        resume=True,
        command=f"python main.py --config {CONFIGS / name}.yaml --seed {seed}",
    )
    report: dict[str, Any] = json.loads(run_stage(request).report.read_text(encoding="utf-8"))
    return report


def numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the table needs of one run."""
    scorer, entry = next(iter(report["open"].items()))
    sources = {"closed": report["closed"], "ranking": entry["ranking"]}
    found = {title: sources[source][key] for title, (source, key) in COLUMNS.items()}
    run = report["run"]
    return {"run": run["name"], "scorer": scorer, **found, "images_seen": run["images_seen"], "seconds": run["seconds"]}


def page(reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The committed page: the table, what it was made with, and the comparison of every metric."""
    rows = ["| method | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for method, runs in reports.items():
        columns = [[numbers(report)[title] for report in runs] for title in COLUMNS]
        rows.append(f"| {method} | " + " | ".join(map(spread, columns)) + " |")
    first = next(iter(reports.values()))[0]
    machine = first["provenance"]["hardware"]
    seeds = len(next(iter(reports.values())))
    return "\n".join(
        [
            "# Glyphs-LT: four methods",
            "",
            f"Test set, in percent: mean ± sample standard deviation of {seeds} training seeds on one split.",
            "AUROC, FPR@95known and OSCR: known against open images by the largest softmax probability.",
            f"Command: `python -m benchmarks.glyphs`. Machine: {machine['cpu']}, {machine['threads']} threads,",
            f"torch {first['provenance']['packages']['torch']}.",
            "",
            *rows,
            "",
            "With the F-measures at 95 % acceptance of known validation images:",
            "",
            compare([report for runs in reports.values() for report in runs]),
        ]
    )


def spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


if __name__ == "__main__":
    main()
