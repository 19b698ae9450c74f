"""The table of docs/faithfulness.md: every published number that we have, beside ours, and what differs on purpose.

`python -m tests.test_faithfulness` writes the page anew.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from oltr import config, legacy
from oltr.background import Background
from oltr.contracts import Progress
from oltr.data.image_files import decode
from oltr.folder import RunFolder
from oltr.networks.dot_product import DotProduct
from oltr.networks.pair import NetworkPair
from oltr.networks.small_resnet import small_resnet10
from oltr.samplers.shuffled import Shuffled
from oltr.state import TrainingState
from oltr.training import EpochEnd
from oltr.transforms.imagenet import ImageNetTest
from tests.faithfulness_page import DEPARTURES, NUMBERS, PAGE, PIECES, compared, page
from tests.faithfulness_sheet import FOLDER, TESTS, TOLERANCES, Golden, Piece, Sheet, beside, golden

NOT_COMPARED = {
    "cfl_schedules: hyp*/cooldown/temperature": "cooldown",
    "class_aware_sampler: */pass1/distinct_per_class": "random numbers",
    "class_aware_sampler: nsc3/pass1/*": "random numbers",
    "class_aware_sampler: single/pass1/*": "random numbers",
}
"""Golden arrays that no piece reads, and what differs there: chance decides what follows a block that was cut."""


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.name)
def test_a_published_piece_is_equal_within_its_tolerance(piece: Piece) -> None:
    assert compared(piece).numbers > 0


def test_the_page_says_what_is_computed() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "`python -m tests.test_faithfulness` writes it anew"


def test_every_golden_number_is_compared_or_named() -> None:
    for piece in PIECES:
        compared(piece)
    files = sorted(path.stem for path in FOLDER.glob("*.npz") if path.stem != "two_stages")
    assert set(TOLERANCES) <= set(files)
    left = {f"{name}: {key}" for name in files for key in golden(name).unread}
    excused = {item for item in left if any(fnmatchcase(item, pattern) for pattern in NOT_COMPARED)}
    assert left - excused == set()
    assert all(any(fnmatchcase(item, pattern) for item in left) for pattern in NOT_COMPARED)
    assert set(NOT_COMPARED.values()) <= set(NUMBERS)


def test_every_difference_is_held_by_tests_that_are_there() -> None:
    assert len(NUMBERS) == len(DEPARTURES)
    assert {key for piece in PIECES for key in piece.departs} <= set(NUMBERS)
    assert all(departure.tests for departure in DEPARTURES)
    named = [test for departure in DEPARTURES for test in departure.tests]
    for test in [*named, *(piece.held for piece in PIECES if piece.held)]:
        path, _, name = test.partition("::")
        assert name in functions(TESTS / path), test


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def off_by(piece: Sheet, share: float) -> None:
    """Compare a golden array with itself, one number of which is off by a share of what is allowed."""
    numbers = Golden("cfl_losses")
    wanted = numbers.array("asl/loss_mean").copy()
    relative, absolute = numbers.tolerance("asl/loss_mean")
    wanted[3] += share * (absolute + relative * abs(wanted[3]))
    piece.hold(wanted, numbers, "asl/loss_mean")


def test_a_deviation_is_found_and_nan_is_not_passed_over() -> None:
    sheet = Sheet()
    off_by(sheet, 0.9)
    assert (sheet.numbers, sheet.undefined) == (8, 0)
    with pytest.raises(AssertionError, match="cfl_losses: asl/loss_mean"):
        off_by(sheet, 1.1)
    sheet.compare([1.0, 2.0], [1.0, float("nan")], (1e-9, 0.0), "theirs")
    assert (sheet.numbers, sheet.undefined) == (9, 1)
    with pytest.raises(AssertionError, match="ours"):
        sheet.compare([1.0, float("nan")], [1.0, 2.0], (1e-9, 0.0), "ours")
    with pytest.raises(AssertionError, match="shape"):
        sheet.compare([1.0], 1.0, (1e-9, 0.0), "shape")


def photographs() -> Iterator[bytes]:
    """Two scenes as JPEG, one smooth and one of noise, lying and standing."""
    generator = np.random.default_rng(0)
    for height, width in ((375, 500), (500, 375), (256, 256)):
        rows, columns = np.mgrid[:height, :width]
        smooth = np.stack([np.sin(columns / 17 + rows / 31), np.cos(columns / 23), np.sin(rows / 11)], axis=2)
        for share in (0.0, 0.5):
            noise = generator.uniform(-1, 1, smooth.shape)
            pixels = 127.5 + 120 * ((1 - share) * smooth + share * noise)
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=90)
            yield file.getvalue()


def test_resized_images_are_those_of_pillow_but_for_a_grey_level() -> None:
    published = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    for data in photographs():
        with Image.open(io.BytesIO(data)) as picture:
            theirs = torch.from_numpy(np.array(published(picture.convert("RGB")))).permute(2, 0, 1)
        distance = (ImageNetTest().image(decode(data)).int() - theirs.int()).abs()
        assert distance.max() <= 1
        assert (distance > 0).double().mean() < 0.01


def test_an_epoch_without_a_right_image_is_kept_if_there_is_no_better(tmp_path: Path) -> None:
    state = TrainingState(folder=RunFolder(tmp_path), keep="best", facts={}, beside=Background())
    pair = NetworkPair(small_resnet10(width=1, image_size=8), DotProduct(feature_dim=8, num_classes=2))
    optimizer, sampler = (
        torch.optim.SGD(pair.parameters(), lr=1.0),
        Shuffled(labels=torch.zeros(2), generator=torch.Generator()),
    )
    for epoch, accuracy in enumerate((0.0, 0.0, 0.5, 0.5)):
        progress = Progress(epoch=epoch, epochs=4)
        end = EpochEnd(progress=progress, losses={}, settings=[], images=2, seconds=1.0)
        state.save(pair, optimizer, sampler, end, accuracy)
        state.beside.wait()
        kept = torch.load(tmp_path / "best.pt", weights_only=True)
        assert (kept["epoch"], kept["accuracy"]) == [(0, 0.0), (0, 0.0), (2, 0.5), (2, 0.5)][epoch]


def test_forms_that_stop_there_with_an_error_are_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forms = beside("published/forms.py")
    classifier = {"def_file": "./models/CosNormClassifier.py", "params": {"in_dim": 512, "num_classes": 1000}}
    cosine = forms.changed(forms.form(), networks__classifier={**classifier, "optim_params": forms.optim(0.1)})
    fresh = forms.changed(forms.form(places=True), networks__feat_model__params__caffe=False)
    for tree, part, told in (
        (cosine, ("classifier", "cosine"), "the published code stops with an error at this classifier"),
        (fresh, ("backbone", "resnet152"), "the published code stops with an error here"),
    ):
        path = forms.write(tree, "config/Mine_LT/stage_1.py")
        notes = " ".join(legacy.read(path).notes)
        stage = config.load(path)
        config.check(stage, str(path))
        assert getattr(stage, part[0]).name == part[1]
        assert told in notes


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
