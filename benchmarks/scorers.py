"""What scorers cost: each beside a whole evaluation of Glyphs-LT, and all of them at the size of ImageNet-LT.

Command: python -m benchmarks.scorers [--out benchmarks/results] [--threads 2] [--skip-scale] [--only NAME …]

The second part writes a store of generated predictions (1.2 GB, in a temporary folder): 50,000 test and 10,000 open
images, 20,000 validation and 115,000 training images under a long tail, 1,000 classes, 512 features. Each scorer is
fitted and scores all of it in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from oltr.contracts import OPEN, Head
from oltr.data.profiles import heights
from oltr.evaluation import evaluate
from oltr.metrics.shots import shot_rule
from oltr.plugins import SCORERS
from oltr.prediction_writer import PredictionWriter
from oltr.predictions import Predictions
from oltr.provenance import cpu_name
from oltr.results import every_scorer, report
from oltr.run import Request, experiment_of, open_stage, run_stage
from oltr.scoring import score

RESULTS = Path(__file__).parent / "results"
CONFIG = Path("config/Glyphs_LT/stage_1.yaml")
PARTS = {"fit": 115_000, "val": 20_000, "test": 50_000, "open": 10_000}
CLASSES, FEATURES, BATCH = 1000, 512, 1000
LIMIT_GB = 4.0
"""Memory that fitting and scoring at this size may take, the libraries' own 0.5 GB and what is read included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--skip-scale", action="store_true")
    parser.add_argument("--alone", nargs=2, metavar=("STORE", "SCORER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.alone:
        print(json.dumps(alone(Path(chosen.alone[0]), chosen.alone[1])))
        return
    names = chosen.only or [name for name in every_scorer() if not hasattr(SCORERS.load(name), "needs_network")]
    facts: dict[str, Any] = {"machine": cpu_name(), "threads": chosen.threads, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        facts["glyphs"] = beside_an_evaluation(names, Path(folder))
        if not chosen.skip_scale:
            facts["scale"] = at_scale(names, Path(folder) / "large.h5", chosen.threads)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "scorers.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (chosen.out / "scorers.md").write_text(page(facts), encoding="utf-8")
    print(page(facts))


def beside_an_evaluation(names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Seconds of a first evaluation with one scorer, forward passes and report, and what each further scorer adds."""
    request = Request(config=CONFIG, overrides=("epochs=0", "evaluation.train=true"), out=folder, device="cpu")
    run = run_stage(request)
    stage, _ = open_stage(request)
    began = perf_counter()
    report(experiment_of(request, stage), run, folder / "first")
    first = perf_counter() - began
    predictions = Predictions.open(folder / "first" / "predictions.h5")
    added = {}
    for name in tqdm(names, desc="scorers"):
        bare, with_it = [], []
        for _ in range(3):
            bare.append(_evaluated(predictions, ["msp"]))
            with_it.append(_evaluated(predictions, list(dict.fromkeys(["msp", name]))))
        added[name] = max(0.0, sorted(with_it)[1] - sorted(bare)[1])
    return {"first_seconds": first, "added_seconds": added}


def _evaluated(predictions: Predictions, names: Sequence[str]) -> float:
    began = perf_counter()
    evaluate(predictions, scorers=_built(predictions, names), rule=shot_rule())
    return perf_counter() - began


def _built(predictions: Predictions, names: Sequence[str]) -> dict[str, Any]:
    given = {"num_classes": predictions.num_classes, "train_counts": predictions.train_counts}
    return {name: SCORERS.build(name, {}, **given) for name in names}


def at_scale(names: Sequence[str], store: Path, threads: int) -> dict[str, Any]:
    """Seconds and peak of memory of each scorer on the large store."""
    write_store(store)
    found = {}
    for name in tqdm(names, desc="at scale"):
        words = [sys.executable, "-m", "benchmarks.scorers", "--threads", str(threads), "--alone", str(store), name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    return {"images": PARTS, "classes": CLASSES, "features": FEATURES, "scorers": found}


def alone(store: Path, name: str) -> dict[str, Any]:
    predictions = Predictions.open(store)
    began = perf_counter()
    scored = score(predictions, _built(predictions, [name]), ("val", "test", "open"))
    seconds = perf_counter() - began
    return {"seconds": seconds, "peak_bytes": _peak(), "skipped": scored.skipped.get(name)}


def _peak() -> int:
    """The most memory that this process has held; not by getrusage, which counts the parent's at the fork as well."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_store(path: Path, *, parts: Mapping[str, int] = PARTS, counts: Any = None, features: int = FEATURES) -> None:
    """Predictions of a network that never was: features of a class around its mean, cut off at 0, and a linear head."""
    counts = _counts() if counts is None else counts
    classes, generator = len(counts), torch.Generator().manual_seed(0)
    means = torch.randn(classes, features, generator=generator).relu_()
    head = Head(0.05 * (means - means.mean(dim=0)), torch.zeros(classes))
    with PredictionWriter(
        path,
        num_classes=classes,
        feature_dim=features,
        train_counts=counts,
        class_names=[str(index) for index in range(classes)],
        provenance={},
        head=head,
    ) as writer:
        writer.centroids(means, "class means")
        for part, labels in _labels(parts, counts, generator):
            for start in tqdm(range(0, len(labels), BATCH), desc=part, leave=False):
                own = labels[start : start + BATCH]
                centre = means[own] if part != "open" else means.mean(dim=0).expand(len(own), -1)
                drawn = (centre + 0.7 * torch.randn(len(own), features, generator=generator)).relu_()
                logits = drawn @ head.weight.T + head.bias
                known = torch.full_like(own, OPEN) if part == "open" else own
                writer.add(part, drawn, logits, known, [f"{part}/{start + place}" for place in range(len(own))])


def _counts() -> Any:
    """115,000 images, 1,280 to 5 a class or near to it."""
    counts = np.array([round(height) for height in heights("exponential", CLASSES, largest=1280, factor=256)])
    counts = np.maximum(5, counts * PARTS["fit"] // counts.sum())
    counts[0] += PARTS["fit"] - counts.sum()
    return counts


def _labels(parts: Mapping[str, int], counts: Any, generator: torch.Generator) -> Iterator[tuple[str, torch.Tensor]]:
    yield "fit", torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    for part in ("val", "test", "open"):
        yield part, torch.randint(0, len(counts), (parts[part],), generator=generator)


def page(facts: dict[str, Any]) -> str:
    glyphs = facts["glyphs"]
    first = glyphs["first_seconds"]
    titles = ["scorer", "added on Glyphs-LT, s", "of the first evaluation, %"]
    scale = facts.get("scale", {}).get("scorers")
    lines = [
        [name, f"{seconds:.3f}", f"{100 * seconds / first:.1f}"] for name, seconds in glyphs["added_seconds"].items()
    ]
    text = [
        "# Scorers",
        "",
        f"Machine: {facts['machine']}, {facts['threads']} threads, torch {facts['torch']}. Command: "
        "`python -m benchmarks.scorers`.",
        "",
        f"A first evaluation of Glyphs-LT with one scorer, passes of the network and report, takes {first:.1f} s; each "
        "further one adds what the table says (median of three).",
    ]
    if scale:
        titles += ["at scale, s", "peak memory, GB"]
        lines = [
            [*line, f"{scale[line[0]]['seconds']:.1f}", f"{scale[line[0]]['peak_bytes'] / 1e9:.2f}"] for line in lines
        ]
        worst = max(entry["peak_bytes"] for entry in scale.values()) / 1e9
        total = sum(entry["seconds"] for entry in scale.values()) / 60
        text += [
            "",
            "At scale: fitted on 115,000 training images, 80,000 validation, test and open images scored, 1,000 "
            f"classes, 512 features; all together {total:.1f} minutes. The limit on memory is {LIMIT_GB:g} GB; the "
            f"most that one takes is {worst:.2f} GB. Libraries and reading are about 0.5 GB of each.",
        ]
    text += ["", f"| {' | '.join(titles)} |", "|---|" + "---:|" * (len(titles) - 1)]
    return "\n".join([*text, *(f"| {' | '.join(line)} |" for line in lines), ""])


if __name__ == "__main__":
    main()
