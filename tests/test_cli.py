"""The commands as users meet them: results on stdout, progress on stderr, and mistakes told in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from oltr import config, epochs, run
from oltr.cli import main, main_run
from oltr.losses.cross_entropy import CrossEntropy
from oltr.plain_data import read_yaml

ROOT = Path(__file__).parent.parent
STAGE_1 = """\
stage: feature
data: {name: glyphs, known_classes: 4, open_classes: 2, max_images: 16, min_images: 3, image_size: 12,
       val_images: 3, test_images: 4, open_images: 3, open_val_classes: 1, open_val_images: 3, far_images: 6}
train_transform: plain
test_transform: plain
sampler: shuffled
backbone: {name: small_resnet10, width: 2}
classifier: dot_product
optimizer: {name: sgd, lr: {name: cosine, value: 0.05}, momentum: 0.9}
losses: [cross_entropy]
epochs: 2
batch_size: 8
evaluation:
  scorers: [msp, energy]
  thresholds: [{name: known_acceptance}, {name: fixed, scorer: msp, confidence: 0.1}]
  shots: {rule: oltr, many: 12, few: 4}
"""
STAGE_2 = STAGE_1.replace("stage: feature", "stage: meta_embedding\ninit_from: stage_1").replace(
    "classifier: dot_product", "classifier: meta_embedding\nmemory: {}"
)
ON_A_CPU = ("--device", "cpu")
Fails = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, as a user does, with the configs `Tiny_LT/stage_1.yaml` and `stage_2.yaml`."""
    folder = tmp_path / "Tiny_LT"
    folder.mkdir()
    (folder / "stage_1.yaml").write_text(STAGE_1)
    (folder / "stage_2.yaml").write_text(STAGE_2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of both stages."""
    folder = tmp_path_factory.mktemp("trained") / "Tiny_LT"
    folder.mkdir()
    (folder / "stage_1.yaml").write_text(STAGE_1)
    (folder / "stage_2.yaml").write_text(STAGE_2)
    runs = folder.parent / "runs"
    torch.set_num_threads(1)
    assert main(["run", "--config", str(folder / "stage_2.yaml"), "--out", str(runs), *ON_A_CPU]) == 0
    return runs


@pytest.fixture
def runs(place: Path, trained: Path) -> Path:
    """A copy of them, below the folder to work in."""
    shutil.copytree(trained, place / "runs")
    return place / "runs" / "Tiny_LT"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command that must fail: the one line that tells why, after what progress there was."""

    def run_it(*words: str, code: int = 2, progress: bool = False) -> str:
        capsys.readouterr()
        try:
            ended = main(words)
        except SystemExit as error:  # as argparse ends
            ended = int(error.code or 0)
        out, err = capsys.readouterr()
        assert ended == code, (ended, err)
        assert out == ""
        assert "Traceback" not in err
        lines = err.splitlines()
        assert progress or len(lines) == 1, err
        assert len(lines[-1]) < 700
        return lines[-1]

    return run_it


S1, S2 = ("run", "--config", "Tiny_LT/stage_1.yaml"), ("run", "--config", "Tiny_LT/stage_2.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "oltr: the following arguments are required: COMMAND; `oltr --help` tells more"),
        (["rum"], "invalid choice: 'rum'"),
        (["run"], "oltr run: the following arguments are required: --config; `oltr run --help` tells more"),
        ([*S1, "--sed", "3"], "oltr run: unknown option '--sed'; did you mean '--seed'?"),
        ([*S1, "--fre"], "oltr run: unknown option '--fre'; did you mean '--fresh'?"),
        ([*S1, "--tets", "epochs=1"], "oltr run: unknown option '--tets'; did you mean '--test'?"),
        ([*S1, "--seed", "-1"], "argument --seed: a whole number from 0 on, not '-1'"),
        ([*S1, "--seed", "one"], "argument --seed: a whole number from 0 on, not 'one'"),
        ([*S1, "--resume", "--fresh"], "argument --fresh: not allowed with argument --resume"),
        ([*S1, "epochs"], "'epochs': an override is written key.path=value"),
        ([*S1, "epochs=few"], "Tiny_LT/stage_1.yaml: epochs: a whole number from 0 on, not 'few'"),
        ([*S1, "epoch=3"], "Tiny_LT/stage_1.yaml: unknown key 'epoch'; did you mean 'epochs'?"),
        ([*S1, "losses=[a"], "losses=[a: line 1: not YAML"),
        ([*S1, "losses.7.weight=1"], "'losses' is a list of 1; '7' is not an index of it"),
        ([*S1, "losses.0.name=cros_entropy"], "losses.0: no loss 'cros_entropy'; did you mean 'cross_entropy'?"),
        ([*S1, "losses.0.label_smothing=0.1"], "loss cross_entropy (oltr 0.1.0): option 'label_smothing' is unknown"),
        ([*S1, "losses.0.label_smoothing=much"], "'label_smoothing' takes a number or a schedule, not 'much'"),
        ([*S1, "losses.0.label_smoothing=7"], "losses.0: label_smoothing is a share between 0 and 1, not 7"),
        ([*S1, "losses.0.num_classes=7"], "option 'num_classes' is given by the run and cannot be set"),
        ([*S1, "backbone.image_size=7"], "option 'image_size' is given by the run and cannot be set"),
        ([*S1, "losses.0.name=oltr:msp"], "package oltr offers no loss 'msp'"),
        ([*S1, "losses.0.name=not.there:Loss"], "ModuleNotFoundError: No module named 'not'"),
        ([*S1, "optimizer.lr={name: setp, value: 1}"], "option 'lr': no schedule 'setp'; did you mean 'step'?"),
        ([*S1, "optimizer.momentum=-1"], "Tiny_LT/stage_1.yaml: optimizer: Invalid momentum value"),
        ([*S1, "backbone.only=[layer9]"], "backbone.only: the network has no child 'layer9'; it has: conv1"),
        ([*S1, "classifier=meta_embedding"], "'meta_embedding' reads class centroids: add `memory: {}` to the config"),
        ([*S1, "evaluation.scorers=[msp, msp]"], "evaluation.scorers: 'msp' stands twice"),
        ([*S1, "evaluation.thresholds.1.scorer=mps"], "'mps' is none of this config's scorers; did you mean 'msp'?"),
        (
            [*S1, "evaluation.shots.rule=oltrr"],
            "Tiny_LT/stage_1.yaml: evaluation.shots: no shot rule is called 'oltrr'",
        ),
        ([*S1, "init_from=stage_1"], "init_from: no stage can be the first of stage_1 -> stage_1"),
        ([*S1, "init_from=stage_2"], "no stage can be the first of stage_1 -> stage_2 -> stage_1"),
        ([*S1, "init_from=stage_3"], "init_from: no config Tiny_LT/stage_3.yaml; did you mean 'stage_2'?"),
        ([*S2, "init_from=null"], "a meta_embedding stage starts from another: add `init_from: <config>`"),
        ([*S1, "stage.weights=lost.pth"], "Tiny_LT/stage_1.yaml: stage: weights: no such file lost.pth"),
        ([*S1, "--device", "tpu"], "--device: 'tpu' is none of cpu, cuda, cuda:N, auto"),
        ([*S1, "--test"], "runs/Tiny_LT/stage_1/seed_0: nothing to evaluate: no best.pt there"),
        ([*S1, "--out", "Tiny_LT/stage_1.yaml"], "Tiny_LT/stage_1.yaml is a file, so no run can be written below it"),
        ([*S1, "data=imagenet_lt"], "ImageNet_LT lies in files of yours: say where with --data-root D"),
        ([*S1, "data=imagenet_lt", "--data-root", "no"], "there is no ImageNet_LT_train.txt in no or no/ImageNet_LT"),
        (["check", "--config", "Tiny_LT/stage_1_cfl.py"], "no such config; did you mean 'Tiny_LT/stage_1.yaml'?"),
        (
            ["run", "--config", "Tiny_LT/stage_1.py"],
            "Tiny_LT/stage_1.py: no such config; there is Tiny_LT/stage_1.yaml",
        ),
        (["show", "--config", "Tny/stage_1.yaml"], "no such config: there is no folder Tny"),
        (["show", "--config", "Tiny_LT"], "Tiny_LT: a folder, not a config; did you mean 'Tiny_LT/stage_"),
        (["plugins", "loses"], "no kind 'loses'; did you mean 'losses'?"),
        (["plugins", "losses", "more"], "oltr plugins: unexpected argument 'more'"),
        (["report", "nowhere"], "nowhere: no run's folder: it has no config.yaml"),
        (["data"], "oltr data: the following arguments are required: WHAT"),
        (["data", "check", "imagenetlt"], "no dataset 'imagenetlt'; did you mean 'imagenet_lt'?"),
        (["data", "check", "glyphs", "known=3"], "dataset glyphs (oltr 0.1.0): option 'known' is unknown"),
        (["data", "check", "glyphs", "--data-rot", "."], "unknown option '--data-rot'; did you mean '--data-root'?"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    place: Path, fails: Fails, words: list[str], message: str
) -> None:
    assert message in fails(*words)
    assert not (place / "runs").exists()


def test_a_python_config_beside_the_yaml_is_told(place: Path, fails: Fails) -> None:
    (place / "Tiny_LT" / "stage_1_cfl.yaml").write_text(STAGE_1)
    assert "stage_1_cfl.py: no such config; there is Tiny_LT/stage_1_cfl.yaml" in fails(
        "run", "--config", "Tiny_LT/stage_1_cfl.py"
    )


def test_a_mistake_in_a_second_stage_shows_before_the_first_is_trained(place: Path, fails: Fails) -> None:
    assert "stage_2.yaml: losses.0: label_smoothing is a share" in fails(*S2, "losses.0.label_smoothing=7", *ON_A_CPU)
    assert not (place / "runs").exists()


def test_a_mistake_under_fresh_loses_nothing(runs: Path, fails: Fails) -> None:
    before = {path: path.read_bytes() for path in runs.rglob("*.*")}
    for mistake in ("losses.0.label_smoothing=7", "stage.weights=lost.pth", "data=imagenet_lt"):
        fails(*S1, mistake, "--fresh", *ON_A_CPU)
    assert {path: path.read_bytes() for path in runs.rglob("*.*")} == before


def test_main_py_tells_mistakes_in_one_line_too(place: Path) -> None:
    for words, message in (
        (["--config", "Tiny_LT/stage_1.yaml", "--sed", "1"], "main.py: unknown option '--sed'; did you mean '--seed'?"),
        (["--config", "Tiny_LT/stage_1.yaml", "epoch=1"], "oltr: Tiny_LT/stage_1.yaml: unknown key 'epoch'"),
    ):
        done = subprocess.run([sys.executable, ROOT / "main.py", *words], cwd=place, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1


def test_a_run_prints_its_result_and_keeps_progress_apart(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["epochs=1", "--config", "Tiny_LT/stage_1.yaml", "--seed", "3", "batch_size=4", *ON_A_CPU]
    assert main_run([*words, "--output_logits", "losses.0.label_smoothing=0.1"]) == 0
    out, err = capsys.readouterr()
    assert "Tiny_LT/stage_1/seed_3" in out
    assert out.splitlines()[-1] == "report: runs/Tiny_LT/stage_1/seed_3/report.html"
    assert "epoch 1/1: loss " in err
    assert "report" not in err
    folder = Path("runs/Tiny_LT/stage_1/seed_3")
    assert (folder / "report.md").is_file()
    stored = config.load(folder / "config.yaml")
    assert (stored.epochs, stored.batch_size, stored.seed) == (1, 4, 3)
    assert stored.losses[0].options == {"label_smoothing": 0.1}
    assert {path.name for path in folder.glob("*.npz")} == {"logits_close.npz", "logits_open.npz"}
    facts = json.loads((folder / "report.json").read_text())["provenance"]
    assert facts["command"] == (
        "python main.py --config Tiny_LT/stage_1.yaml epochs=1 batch_size=4 losses.0.label_smoothing=0.1 --seed 3"
    )


def test_a_chain_says_what_it_does_and_does_it_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*S2, *ON_A_CPU]) == 0
    told = capsys.readouterr().err
    assert "Tiny_LT/stage_2.yaml starts from Tiny_LT/stage_1.yaml, which has not been run: running it first" in told
    assert told.index("runs/Tiny_LT/stage_1/seed_0: 2 epochs") < told.index("runs/Tiny_LT/stage_2/seed_0: 2 epochs")
    assert main([*S2, *ON_A_CPU]) == 0
    out, err = capsys.readouterr()
    assert "Tiny_LT/stage_2/seed_0" in out
    assert [line.partition(" (")[0] for line in err.splitlines()] == [
        f"runs/Tiny_LT/stage_{number}/seed_0 is done" for number in (1, 2)
    ]


def test_a_changed_config_is_refused_with_the_difference(runs: Path, fails: Fails) -> None:
    told = fails(*S1, "epochs=5", "backbone.dropout=0.1", *ON_A_CPU)
    assert "was run with another config (backbone.dropout: None -> 0.1; epochs: 2 -> 5): --fresh runs it anew" in told


def test_evaluating_writes_beside_the_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs / "stage_2" / "seed_0"
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert main([*S2, *ON_A_CPU, "--test", "--test_open", "--output_logits"]) == 0
    out = capsys.readouterr().out
    shown = [
        line.removeprefix("report: runs/Tiny_LT/stage_2/seed_0/") for line in out.splitlines() if "report: " in line
    ]
    assert shown == ["test/report.html", "test_open/report.html"]
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert {path.name for path in (folder / "test").glob("*.npz")} == {"logits_close.npz"}
    with np.load(folder / "test_open" / "logits_open.npz") as stored:
        assert stored["logits"].shape == (4 * 4 + 2 * 3, 4)
        assert (stored["labels"] == -1).sum() == 2 * 3
    closed, opened = (json.loads((folder / name / "report.json").read_text()) for name in ("test", "test_open"))
    whole = json.loads((folder / "report.json").read_text())
    assert closed["open"] is None
    assert (opened["open"], opened["closed"]) == (whole["open"], whole["closed"])


def test_what_show_prints_is_the_same_config(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, changes = Path("Tiny_LT/stage_2.yaml"), ["optimizer.lr=5e-4", "clip_norm={name: constant, value: 1}"]
    assert main(["show", "--config", str(path), *changes, "--seed", "8"]) == 0
    shown = capsys.readouterr().out
    assert config.parse(read_yaml(shown, "shown"), "shown") == config.load(path, [*changes, "seed=8"])
    (path.parent / "shown.yaml").write_text(shown)
    assert main(["show", "--config", "Tiny_LT/shown.yaml"]) == 0
    assert capsys.readouterr().out == shown


def test_check_names_the_stage_before(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", "Tiny_LT/stage_2.yaml"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "Tiny_LT/stage_2.yaml is valid; it starts from Tiny_LT/stage_1.yaml",
        "Tiny_LT/stage_1.yaml is valid",
    ]
    assert not (place / "runs").exists()


def test_plugins_lists_all_or_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    everything = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["losses", "cross_entropy", "oltr", "0.1.0", "oltr.losses.cross_entropy:CrossEntropy"] in everything
    assert main(["plugins", "losses"]) == 0
    losses = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert losses == [row for row in everything if row[0] == "losses"]
    assert len({row[0] for row in everything}) == 11


def test_data_check_says_what_is_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "glyphs", "known_classes=3"]) == 0
    assert "3 known classes of 300 to 5 training images, 20 open classes" in capsys.readouterr().out
    assert main(["data", "check", "places_lt", "--data-root", "."]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "Places_LT_train.txt: MISSING, needed",
        "Places_LT_val.txt: MISSING, needed",
        "Places_LT_test.txt: MISSING, needed",
        "Places_LT_open.txt: not there, so there is no open-set evaluation",
    ]


def test_report_compares_runs_and_needs_neither_data_nor_network(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [runs / name / "seed_0" for name in ("stage_1", "stage_2")]
    before = [json.loads((folder / "report.json").read_text()) for folder in folders]
    for folder in folders:
        (folder / "report.json").unlink()
    monkeypatch.setattr(run, "experiment_of", None)
    assert main(["report", *map(str, folders)]) == 0
    out = capsys.readouterr().out.replace("\\", "")
    assert out.index("Tiny_LT/stage_1/seed_0") < out.index("Tiny_LT/stage_2/seed_0")
    assert [json.loads((folder / "report.json").read_text()) for folder in folders] == before
    assert main(["report", str(folders[0])]) == 0


def test_report_points_at_the_runs_below(runs: Path, fails: Fails) -> None:
    assert "it has no config.yaml; did you mean 'runs/Tiny_LT/stage_1/seed_0'?" in fails(
        "report", "runs/Tiny_LT/stage_1"
    )
    assert "no run's folder" in fails("report", "runs/Tiny_LT/stage_1/seed_0/config.yaml")


@pytest.mark.parametrize("kept", [0, 700])
@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("stage_1/seed_0/best.pt", [*S1, "--test"], "best.pt: not a readable checkpoint"),
        ("stage_1/seed_0/best.pt", [*S2, *ON_A_CPU], "stage_1/seed_0/best.pt: not a readable checkpoint"),
        ("stage_2/seed_0/predictions.h5", ["report", "runs/Tiny_LT/stage_2/seed_0"], "predictions.h5 is damaged"),
        ("stage_2/seed_0/origin.json", [*S2, *ON_A_CPU], "origin.json is missing or damaged: --fresh runs the stage"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(
    runs: Path, fails: Fails, name: str, words: list[str], message: str, kept: int
) -> None:
    path = runs / name
    content = path.read_bytes()
    path.write_bytes(content[: min(kept, len(content) // 2)])
    assert message in fails(*words, progress=True)


def test_a_damaged_log_or_config_of_a_run_is_named(runs: Path, fails: Fails) -> None:
    folder = runs / "stage_1" / "seed_0"
    (folder / "log.jsonl").write_text('{"epoch": 0,\n{"epoch": 1}\n')
    assert "log.jsonl is damaged: --fresh runs the stage anew" in fails("report", str(folder))
    (folder / "config.yaml").write_text("stage\n")
    assert "seed_0/config.yaml: a config is a mapping of keys, not str" in fails(*S1, *ON_A_CPU)


@pytest.fixture
def photographs(place: Path) -> Path:
    """A list data set, `--data-root photographs` and `data={name: image_list, list_name: P}`, that is whole."""
    root = place / "photographs"
    root.mkdir()
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        names = [f"{split}_{number}.jpg" for number in range(count)]
        for name in names:
            Image.fromarray(generator.integers(256, size=(12, 12, 3), dtype=np.uint8)).save(root / name)
        (root / f"P_{split}.txt").write_text("".join(f"{name} {index % 2}\n" for index, name in enumerate(names)))
    return root


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_is_named_and_once_mended_the_run_goes_on(
    photographs: Path, fails: Fails, workers: int
) -> None:
    broken = photographs / "train_7.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    words = [
        *S1,
        "data={name: image_list, list_name: P}",
        f"workers={workers}",
        "--data-root",
        "photographs",
        *ON_A_CPU,
    ]
    told = fails(*words, progress=True)
    assert told.startswith("oltr: image photographs/train_7.jpg (photographs/P_train.txt:8): it cannot be read: ")
    broken.write_bytes(whole)
    assert main([*words, "--resume"]) == 0


def test_a_loss_that_is_not_finite_keeps_what_was_learnt(place: Path, fails: Fails) -> None:
    exploding = "optimizer.lr={name: multistep, value: 0.01, milestones: [1], factor: 1.0e+30}"
    told = fails(*S1, exploding, "epochs=3", *ON_A_CPU, code=1, progress=True)
    assert "the loss 'cross_entropy' is not finite; a lower lr, a warm-up or clip_norm may help" in told
    assert {"best.pt", "last.pt"} <= {path.name for path in Path("runs/Tiny_LT/stage_1/seed_0").iterdir()}


@pytest.mark.parametrize("config", ["stage_1", "stage_2"])
def test_a_missing_compiler_is_told_before_anything_is_trained(
    config: str, place: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    words = ("run", "--config", f"Tiny_LT/{config}.yaml", "compute.compile_losses=true", *ON_A_CPU)
    told = fails(*words, progress=True)
    assert told.startswith(f"oltr: Tiny_LT/{config}.yaml: compute.compile_losses: on a CPU this takes a C++ compiler")
    assert not list(Path("runs").rglob("*.pt"))


def test_a_gpu_without_room_is_told_and_what_was_learnt_is_kept(
    place: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = CrossEntropy.__call__, []

    def grown(loss: CrossEntropy, *given: Any) -> torch.Tensor:
        steps.append(given)
        if given[-1].epoch == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")
        return real(loss, *given)

    monkeypatch.setattr(CrossEntropy, "__call__", grown)
    told = fails(*S1, "epochs=2", *ON_A_CPU, code=1, progress=True)
    assert told.startswith("oltr: CUDA out of memory. Tried to allocate 2.00 GiB; a smaller batch_size or ")
    assert steps
    monkeypatch.setattr(CrossEntropy, "__call__", real)
    assert main([*S1, "epochs=2", *ON_A_CPU, "--resume"]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    place: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, saved = torch.save, []

    def save(content: Any, file: Any) -> None:
        saved.append(content)
        if len(saved) > 2:  # the first epoch fits
            with Path("/dev/full").open("wb") as full:
                real(content, full)
        real(content, file)

    monkeypatch.setattr(torch, "save", save)
    told = fails(*S1, *ON_A_CPU, code=1, progress=True)
    assert told.startswith("oltr: no space left on the disk for runs/Tiny_LT/stage_1/seed_0/")
    assert not list(Path("runs").rglob("*.tmp"))
    monkeypatch.setattr(torch, "save", real)
    assert "holds a run that did not end: --resume goes on with it" in fails(*S1, *ON_A_CPU)
    assert main([*S1, *ON_A_CPU, "--resume"]) == 0


def test_a_disk_that_is_full_outside_of_a_checkpoint_is_told_too(
    place: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "log.jsonl")

    monkeypatch.setattr("oltr.folder.RunFolder.append", append)
    assert fails(*S1, *ON_A_CPU, code=1, progress=True) == "oltr: log.jsonl: No space left on device"


def test_a_folder_that_cannot_be_written_is_told(place: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert fails(*S1, *ON_A_CPU) == f"oltr: --out: {place} cannot be written to"


def test_an_interrupted_run_says_how_to_go_on(place: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    real, validated = epochs.validate, []

    def interrupted(*arguments: Any) -> Any:
        validated.append(1)
        if len(validated) > 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(epochs, "validate", interrupted)
    told = fails(*S1, *ON_A_CPU, code=130, progress=True)
    assert told == "oltr: interrupted; --resume goes on from the last epoch that ended"
    monkeypatch.setattr(epochs, "validate", real)
    assert main([*S1, *ON_A_CPU, "--resume"]) == 0


def test_report_scores_anew_with_other_scorers_and_compares_on_one_page(
    runs: Path, fails: Fails, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = runs / "stage_1" / "seed_0"
    before = json.loads((folder / "report.json").read_text())
    monkeypatch.setattr(run, "experiment_of", None)
    page = runs / "page.html"
    assert main(["report", str(folder), "--scorers", "msp,gen,mahalanobis", "--html", str(page)]) == 0
    assert f"page: {page}" in capsys.readouterr().out
    after = json.loads((folder / "report.json").read_text())
    assert list(after["open"]) == ["msp", "gen", "mahalanobis"]
    assert after["open"]["msp"]["ranking"] == before["open"]["msp"]["ranking"]
    assert "fitted on training images" in after["open"]["mahalanobis"]["skipped"]
    assert {part["name"] for part in after["provenance"]["parts"] if part["kind"] == "scorer"} == set(after["open"])
    assert "gen" in page.read_text()
    assert main(["report", str(folder), "--scorers", "all"]) == 0
    told = json.loads((folder / "report.json").read_text())["open"]
    assert {"msp", "knn", "openmax", "odin"} <= told.keys()
    assert list(told)[:3] == ["msp", "gen", "mahalanobis"]  # those that it was scored with stay first
    assert "--scorers: no scorer 'mps'; did you mean 'msp'?" in fails("report", str(folder), "--scorers", "mps")
