"""What a published run is made of beside ours: order of images, schedules, checkpoints."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from oltr.contracts import Progress
from oltr.foreign.checkpoints import fill, pair_state, read_checkpoint
from oltr.metrics.closed import closed_set
from oltr.metrics.shots import shot_rule
from oltr.samplers.listed import Listed
from oltr.schedules import Cosine, Cyclical, MultiStep, Restarts, Step, WarmUp
from tests.faithfulness_sheet import FOLDER, Piece, Sheet, beside, golden

SAMPLER, RATES, CYCLES, STORED = (
    golden(name) for name in ("class_aware_sampler", "lr_schedules", "cfl_schedules", "oltr_checkpoint")
)
ORDERS = SAMPLER.cases("*/labels")


def class_aware(sheet: Sheet) -> None:
    """The law of the draws: length of a pass, images of each class and how many of them differ, blocks of a class."""
    draw = beside("samplers/test_class_aware.py")
    now = Progress(epoch=0, epochs=1)
    for case in ORDERS:
        labels, per_class = SAMPLER.array(f"{case}/labels"), int(SAMPLER[f"{case}/num_samples_cls"])
        length = int(SAMPLER[f"{case}/length"])
        ours = draw.sampler(labels, images_per_class=per_class, epoch_images=length)
        sheet.hold(ours.full_pass, SAMPLER, f"{case}/length")
        passes = [ours.indices(now).numpy() for _ in range(2)]
        theirs = [SAMPLER.array(f"{case}/pass{number}/indices") for number in range(2)]
        if length % per_class == 0:  # else the last block of a pass is cut short, and what fell away is unknown
            for draws in (np.concatenate(theirs), np.concatenate(passes)):
                draw.assert_law(draws, labels, per_class)
        for number, draws in enumerate(passes[:1] if length % per_class else passes):
            counts = np.bincount(labels[draws])
            expected = SAMPLER.array(f"{case}/pass{number}/class_counts")
            if case != "single":  # there it is chance which of the two classes comes last
                sheet.compare(np.sort(counts), np.sort(expected), (0.0, 0.0), f"{case}/class_counts")
            blocks = [labels[draws[start : start + per_class]] for start in range(0, length, per_class)]
            assert all(len(set(block.tolist())) == 1 for block in blocks)
            sheet.compare(len(blocks), len(SAMPLER.array(f"{case}/pass{number}/block_class")), (0.0, 0.0), case)
        first = passes[0]
        distinct = [len(set(first[labels[first] == label].tolist())) for label in range(labels.max() + 1)]
        sizes = np.bincount(labels)
        assert distinct == np.minimum(np.bincount(labels[first]), sizes).tolist()
        drawn = SAMPLER.array(f"{case}/pass0/class_counts")
        sheet.hold(np.minimum(drawn, sizes), SAMPLER, f"{case}/pass0/distinct_per_class")
        sheet.hold(len(blocks[-1]), SAMPLER, f"{case}/last_block_size")


def listed(sheet: Sheet) -> None:
    """The very sequences of the published sampler, handed on from a file."""
    with tempfile.TemporaryDirectory() as folder:
        for case in ORDERS:
            keys = [f"{case}/pass{number}/indices" for number in range(2)]
            file = Path(folder) / f"{case}.npy"
            np.save(file, np.stack([SAMPLER.array(key) for key in keys]))
            order = Listed(file=str(file), labels=SAMPLER[f"{case}/labels"])
            for epoch, key in enumerate(keys):
                sheet.hold(order.indices(Progress(epoch=epoch, epochs=2)), SAMPLER, key)


def step(sheet: Sheet) -> None:
    for case in RATES.cases("oltr_step*/lr"):
        rate, every, factor, _ = RATES.array(f"{case}/cfg")
        hold_course(sheet, Step(value=rate, every=int(every), factor=factor), f"{case}/lr")


def other_rates(sheet: Sheet) -> None:
    for case in RATES.cases("mic_step*/lr"):
        rate, epochs = RATES.array(f"{case}/cfg")
        hold_course(sheet, Step(value=rate, every=int(epochs) // 4), f"{case}/lr")
    for case in RATES.cases("mic_multistep*/lr"):
        rate, epochs = RATES.array(f"{case}/cfg")
        hold_course(sheet, MultiStep(value=rate, milestones=(0.5, 0.75)), f"{case}/lr")
    for case in RATES.cases("mic_cos*/lr"):
        rate, _, warmup = RATES.array(f"{case}/cfg")
        hold_course(sheet, Cosine(value=rate, warmup=int(warmup)), f"{case}/lr")
    for case in RATES.cases("pprp*/cfg"):
        rate, epochs, *milestones, factor = RATES.array(f"{case}/cfg")
        steps = MultiStep(value=rate, milestones=milestones, factor=factor)
        halves = MultiStep(value=rate, milestones=milestones, factor=0.5)
        ours = {
            "multistep": steps,
            "WarmupMultiStepLR_linear": WarmUp(epochs=8, start_factor=1 / 3, after=steps),
            "warmup": WarmUp(epochs=int(epochs) // 10, start_factor=1 / 3, after=halves),
            "cosine": Cosine(value=rate),
            "warmcosine": Restarts(value=rate, end=1e-4, period=10, growth=2),
            "CustomScheduler": MultiStep(value=rate, milestones=(0.3, 0.6, 0.8), factor=0.2),
        }
        for name, schedule in ours.items():
            hold_course(sheet, schedule, f"{case}/{name}/lr")


def hold_course(sheet: Sheet, schedule: object, key: str) -> None:
    epochs = len(RATES.array(key))
    sheet.hold(beside("test_schedules.py").course(schedule, epochs), RATES, key)


def cyclical_scalars(sheet: Sheet) -> None:
    course = beside("test_schedules.py").course
    for case in CYCLES.cases("hyp*/cfg"):
        epochs, factor, *bounds = CYCLES.array(f"{case}/cfg")
        for scalar, low, high in zip(("weight_decay", "temperature", "clip"), bounds[::2], bounds[1::2], strict=True):
            schedule = Cyclical(low=low, high=high, factor=factor)
            sheet.hold(course(schedule, int(epochs)), CYCLES, f"{case}/{scalar}")
            if scalar == "weight_decay":
                sheet.hold(course(schedule, int(epochs) + 10), CYCLES, f"{case}/cooldown/weight_decay")


def checkpoints(sheet: Sheet) -> None:
    forms = beside("foreign/test_checkpoints.py")
    for stage in (1, 2):
        pair, foreign = forms.golden_pair(stage), read_checkpoint(FOLDER / f"oltr_checkpoint_stage{stage}.pth")
        fill(pair, foreign)
        with torch.inference_mode():
            outputs = pair.eval()(STORED["images"])
        for name in ("features", "logits"):
            sheet.hold(getattr(outputs, name), STORED, f"stage{stage}/{name}")
        counts = np.array([21, 3, 3, 3, 3])  # one medium class, the rest few, as their shot accuracies tell
        found = closed_set(outputs.logits.numpy(), STORED.array("labels"), shot_rule().groups(counts))
        sheet.hold(found["accuracy"], STORED, f"stage{stage}/acc")
        sheet.hold(found["macro_f1"], STORED, f"stage{stage}/f_measure")
        shots = [np.nan if found[group] is None else found[group] for group in ("many", "medium", "few")]
        sheet.hold(shots, STORED, f"stage{stage}/shots")
        told = np.array([foreign.facts["best_epoch"], foreign.facts["epoch"]])
        sheet.hold(told, STORED, f"stage{stage}/best_epoch_and_epoch")
        if stage == 2:
            sheet.hold(pair_state(foreign)["memory.centroids"], STORED, "stage2/centroids")


_SAMPLER = "OLTR `data/ClassAwareSampler.py`"
PIECES = (
    Piece(
        name="Class-aware order: the law of its draws",
        published=_SAMPLER,
        ours="`class_aware`",
        compare=class_aware,
        departs=("random numbers", "images of an epoch", "classes without images"),
    ),
    Piece(
        name="Class-aware order: its very draws, from a file",
        published=_SAMPLER,
        ours="`listed`",
        compare=listed,
    ),
    Piece(
        name="Learning rate, by steps",
        published="OLTR `run_networks.py`: `StepLR`",
        ours="`step`",
        compare=step,
    ),
    Piece(
        name="Learning rates: cosine, warm-ups, restarts, milestones",
        published="MIC-DKFZ/image_classification, pprp/pytorch-cifar-tricks",
        ours="`cosine`, `warmup`, `restarts`, `step`, `multistep`",
        compare=other_rates,
    ),
    Piece(
        name="Cyclical weight decay, temperature and clipping",
        published="CFL `TIMM/train.py`",
        ours="`cyclical`",
        compare=cyclical_scalars,
        departs=("cooldown", "weight decay and clipping"),
    ),
    Piece(
        name="Checkpoints of both stages: features, logits, metrics, epochs, centroids",
        published="OLTR `run_networks.py`: `save_model`, `load_model`",
        ours="`oltr import`, `init_from`, `--test`",
        compare=checkpoints,
        departs=("missing weights",),
    ),
)
