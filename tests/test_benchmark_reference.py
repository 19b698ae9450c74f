"""The original is measured through its own names: here a stand-in has them, with bodies of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import reference, reference_data, reference_ours, reference_table, reference_theirs, suites
from benchmarks.reference_rows import ROWS, ReferenceRow
from benchmarks.rows import DisagreementError
from benchmarks.running import Settings, measured_here
from oltr.contracts import RunError

TINY = Settings(rounds=1, memory=False, tiny=True, sample_seconds=0)
STAND_IN = {
    "main.py": "",
    "models/ResNet10Feature.py": "",
    "config/Places_LT/stage_1.py": "",
    "config/ImageNet_LT/stage_1.py": "config = {'training_opt': {'dataset': 'ImageNet_LT', 'sampler': None}}",
    "utils.py": """
        import importlib.util
        def source_import(path):
            spec = importlib.util.spec_from_file_location('named', path)
            found = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
            return found
        """,
    "run_networks.py": """
        import torch
        class model:
            def centroids_cal(self, data):
                print('what it prints is no answer')
                means = torch.zeros(self.training_opt['num_classes'], self.training_opt['feature_dim']).cuda()
                for images, labels, _ in data:
                    self.batch_forward(images, feature_ext=True)
                    means.index_add_(0, labels, self.features)
                return means / torch.bincount(torch.tensor(data.dataset.labels))[:, None]
        """,
    "data/dataloader.py": """
        from types import SimpleNamespace
        import torch
        from torchvision.io import read_file
        def load_data(data_root, dataset, phase, batch_size, sampler_dic, num_workers):
            with open(f'data/{dataset}/{dataset}_{phase}.txt') as lines:
                read = [(read_file(f'{data_root}/{line.split()[0]}')[:9], int(line.split()[1])) for line in lines]
            return SimpleNamespace(dataset=read)
        """,
}


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name, text in STAND_IN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
        (folder / name).write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder


def named(*names: str) -> list[reference.ReferenceRow]:
    return [row for row in ROWS if row.name in names]


def test_both_sides_answer_from_processes_of_their_own(stand_in: Path) -> None:
    told: list[str] = []
    rows = named("class_means", "jpeg_256", "cyclical_focal")
    found = measured_here("reference", lambda: reference.run_rows(rows, TINY, told.append, original=stand_in))
    assert [row["name"] for row in found["rows"]] == ["jpeg_256", "class_means"]
    assert "cyclical_focal: left out, --fork names no checkout" in told
    for row in found["rows"]:
        ratio = row["original_takes"]["ours"]["median"]
        assert ratio == row["seconds"]["original"]["median"] / row["seconds"]["ours"]["median"]
    page = reference_table.markdown({**found, "original": "f50e3759", "fork": None})
    assert "| jpeg_256 | ours |" in page
    assert "at f50e375," in page
    assert "an unknown commit" in page


def test_a_contender_that_computes_something_else_is_an_error() -> None:
    (row,) = named("class_means")
    agree = {"original": lambda words: [1.0, 2.0], "ours": lambda words: [1.0, 2.0001]}
    reference._compare(row, agree)
    with pytest.raises(DisagreementError, match=r"class_means: ours and the original differ \[1\]: by 0.5"):
        reference._compare(row, {**agree, "ours": lambda words: [1.0, 2.5]})
    with pytest.raises(ValueError, match="argument 2"):
        reference._compare(row, {**agree, "ours": lambda words: [1.0]})


def test_a_process_that_fails_says_why_in_one_line(stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stand_in / "run_networks.py").write_text("raise ImportError('no such thing')\n")
    assert command.main(["--reference", str(stand_in), "--rows", "class_means", "--tiny"]) == 1
    told = "class_means, original: the process failed: ImportError: no such thing\n"
    assert capsys.readouterr().err == f"class_means: left out: {told}benchmarks: {told}"


def test_a_row_that_fails_costs_no_other(
    stand_in: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reference._run

    def fails(row: ReferenceRow, *arguments: Any) -> Any:
        if row.name == "class_means":
            raise RunError("the process failed")
        return real(row, *arguments)

    monkeypatch.setattr(reference, "_run", fails)
    assert command.main(["--reference", str(stand_in), "--rows", "class_means", "help", "--tiny", "--rounds", "1"]) == 0
    written = capsys.readouterr()
    assert "class_means: left out: the process failed" in written.err
    assert "| help |" in written.out
    assert "| class_means |" not in written.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "nowhere"], "nowhere: there is no main.py; it should be a checkout of zhmiao/"),
        (["--fork", "nowhere"], "--fork goes with --reference, a checkout of the original"),
        (["--reference", "x", "--suite", "gpu"], "--reference goes with the suite cpu, not with gpu"),
    ],
)
def test_what_the_user_gets_wrong_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"benchmarks: {message}")


def test_every_row_has_both_sides_and_ways_that_exist() -> None:
    for row in ROWS:
        assert callable(getattr(reference_ours, row.make))
        assert callable(getattr(reference_theirs, row.make))
        assert row.to_reach.keys() <= row.ours.keys()
        assert row.full.keys() == row.tiny.keys()
        assert "{" not in row.what.format(**{**row.options, **row.full})
    assert [row.name for row in suites.rows_named(None, ROWS)] == [row.name for row in ROWS]


@pytest.mark.parametrize("name", ["head_365", "bookkeeping", "class_aware_sampler", "cyclical_focal"])
def test_what_ours_answers_depends_on_the_inputs_alone(name: str, tmp_path: Path) -> None:
    (row,) = named(name)
    plan = {**row.options, **row.tiny, "folder": str(tmp_path)}
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        work = getattr(reference_ours, row.make)(plan)
        assert work.facts is not None
        found.append(work.facts(work.call()))
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()
    assert any(found[0])


@pytest.mark.parametrize("stage", ["stage_1", "stage_2"])
def test_an_epoch_of_ours_trains_on_the_files_of_the_list(stage: str, tmp_path: Path) -> None:
    (row,) = named(stage)
    sizes = {**row.tiny, "side": 224, "workers": 0}
    reference_data.write(tmp_path, width=256, images=sizes["images"], dataset="ImageNet_LT")
    plan = {**row.options, **sizes, "folder": str(tmp_path)}
    seen: list[int] = []
    read = reference_ours.ImageFiles.read

    class Watched(reference_ours.ImageFiles):
        def read(self, indices: list[int]) -> list[torch.Tensor]:
            seen.extend(indices)
            return read(self, indices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_ours, "ImageFiles", Watched)
        reference_ours.training(plan).call()
    assert len(seen) == sizes["images"]
    assert json.dumps(sorted(set(seen))) in ("[0, 1, 2, 3]", "[0]", "[0, 1]", "[0, 1, 2]")
