"""The study on Glyphs-LT: plain, CFL, OLTR and OLTR with CFL over several seeds, as a table with standard deviations.

Command: python -m benchmarks.glyphs [--seeds 3] [--out runs]
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oltr.report.summary import headline, summary
from oltr.run import Request, run_stage

CONFIGS = Path("config/Glyphs_LT")
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "plain": ("stage_1", ()),
    "CFL": ("stage_1_cfl", ()),
    "plain, as many epochs as both stages": ("stage_1", ("epochs=18",)),
    "OLTR": ("stage_2_meta_embedding", ()),
    "OLTR + CFL": ("stage_2_cfl_meta_embedding", ()),
}
"""Of each row its config, and what it changes in it."""
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    reports = {
        method: [study(name, changes, seed, chosen.out) for seed in range(chosen.seeds)]
        for method, (name, changes) in METHODS.items()
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "glyphs.md").write_text(page(reports), encoding="utf-8")
    facts = {method: [numbers(report) for report in runs] for method, runs in reports.items()}
    (RESULTS / "glyphs.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(page(reports))


def study(name: str, changes: tuple[str, ...], seed: int, out: Path) -> dict[str, Any]:
    """The report of one run; one that is done already is read, one that was cut goes on."""
    request = Request(
        config=CONFIGS / f"{name}.yaml",
        overrides=changes,
        out=out / "_".join(changes) if changes else out,
        seed=seed,
        resume=True,
        command=" ".join(["python main.py --config", f"{CONFIGS / name}.yaml", *changes, "--seed", str(seed)]),
    )
    report: dict[str, Any] = json.loads(run_stage(request).report.read_text(encoding="utf-8"))
    return report


def numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the table needs of one run, shares from 0 to 1."""
    run = report["run"]
    return {"run": run["name"], **summary(report), "images_seen": run["images_seen"], "seconds": run["seconds"]}


def page(reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The committed page: the table and what it was made with."""
    first = next(iter(reports.values()))[0]
    columns = list(summary(first))
    rows = ["| method | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for method, runs in reports.items():
        found = [summary(report) for report in runs]
        rows.append(f"| {method} | " + " | ".join(spread([one[title] for one in found]) for title in columns) + " |")
    machine, seeds = first["provenance"]["hardware"], len(next(iter(reports.values())))
    chosen = headline(first)
    return "\n".join(
        [
            "# Glyphs-LT",
            "",
            f"Test set, in percent: mean ± sample standard deviation of {seeds} training seeds on one split.",
            f"Open set by {chosen.scorer}; F at: {chosen.point['rule']}." if chosen else "No open set.",
            f"Shot groups {first['data']['shots']['rule']}.",
            "",
            f"Command: `python -m benchmarks.glyphs`. Machine: {machine['cpu']}, threads: {machine['threads']}, "
            f"torch {first['provenance']['packages']['torch']}.",
            "",
            *rows,
            "",
            "What each row runs:",
            "",
            *(f"- {method}: `{runs[0]['run']['command']}`" for method, runs in reports.items()),
            "",
        ]
    )


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation in percent; a dash where a seed has no such number."""
    if None in values:
        return "–"
    known = [value for value in values if value is not None]
    deviation = f" ± {100 * statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{100 * statistics.mean(known):.1f}{deviation}"


if __name__ == "__main__":
    main()
