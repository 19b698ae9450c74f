"""Published Python configs: what each key comes to, and that no key goes unmentioned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oltr import config, legacy, plugins
from oltr.contracts import Progress, UserError, at
from oltr.plain_data import read_yaml, write_yaml
from tests.published.forms import FORMS, Tree, changed, focal, form, optim, place, softmax, write

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "cfl_schedules.npz"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(tree: Tree, path: str = "config/Mine_LT/stage.py", **options: Any) -> legacy.Legacy:
    return legacy.read(write(tree, path), options)


def fails(tree: Tree, path: str = "config/Mine_LT/stage.py") -> str:
    with pytest.raises(UserError) as caught:
        read(tree, path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(path)
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(("places", "stage", "cfl"), FORMS)
def test_each_published_form_is_a_config_whose_parts_take_their_options(places: bool, stage: int, cfl: bool) -> None:
    path = write(form(places=places, stage=stage, cfl=cfl), place(places, stage, cfl))
    parsed = config.load(path)
    config.check(parsed, str(path))
    assert parsed.epochs == (60 if stage == 2 and not places else 30)
    assert parsed.batch_size == 128
    assert parsed.evaluation.batch_size == 128
    assert parsed.workers == (4 if places else 8)
    assert [(rule.name, dict(rule.options)) for rule in parsed.evaluation.thresholds] == [
        ("known_acceptance", {"rate": 0.95}),
        ("fixed", {"scorer": "msp", "confidence": 0.1}),
    ]
    assert [scorer.name for scorer in parsed.evaluation.scorers] == ["msp", "max_logit", "energy", "entropy"]
    assert parsed.compute.precision == "float32"
    assert parsed.keep == "best"
    assert parsed.data.options == {
        "list_name": "Places_LT" if places else "ImageNet_LT",
        "num_classes": 365 if places else 1000,
    }
    losses = ["cyclical_focal" if cfl else "cross_entropy"] + ["disc_centroids"] * (stage == 2)
    assert [loss.name for loss in parsed.losses] == losses
    assert [loss.weight for loss in parsed.losses] == [1.0, 0.01][:stage]
    sampler = ("class_aware", {"images_per_class": 4}) if stage == 2 else ("shuffled", {})
    assert (parsed.sampler.name, dict(parsed.sampler.options)) == sampler


def test_stage_2_of_imagenet_lt_is_the_published_one_to_the_number() -> None:
    plain = read(form(stage=2)).plain
    weights = "./logs/ImageNet_LT/stage1/final_model_checkpoint.pth"
    assert plain["stage"] == {
        "name": "oltr.published.stage:PublishedStage",
        "backbone_weights": weights,
        "caffe": False,
        "classifier_weights": weights,
        "init_centroids": True,
    }
    assert plain["backbone"] == {
        "name": "oltr.published.networks:attentive",
        "architecture": "resnet10",
        "fc": True,
        "optim": {
            "lr": {"name": "step", "value": 0.01, "every": 20, "factor": 0.1},
            "momentum": 0.9,
            "weight_decay": 0.0005,
        },
    }
    assert plain["classifier"]["name"] == "meta_embedding"
    assert plain["classifier"]["optim"]["lr"]["value"] == 0.1
    assert plain["memory"]["optim"]["lr"] == {"name": "step", "value": 0.01, "every": 20, "factor": 0.1}
    assert plain["train_transform"] == {"name": "imagenet_train", "size": 224}
    assert plain["test_transform"] == {"name": "imagenet_test", "resize": 256, "size": 224}


def test_the_rate_steps_as_the_published_scheduler_does() -> None:
    lr = plugins.SCHEDULES.scalar(read(form(stage=2)).plain["classifier"]["optim"]["lr"])
    values = [at(lr, Progress(epoch=epoch, epochs=60)) for epoch in (0, 19, 20, 40, 59)]
    assert values == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])


def test_places_lt_starts_from_caffe_weights_and_freezes_by_name() -> None:
    first, second = read(form(places=True)).plain, read(form(places=True, stage=2)).plain
    assert first["stage"] == {
        "name": "oltr.published.stage:PublishedStage",
        "backbone_weights": "./logs/caffe_resnet152.pth",
        "caffe": True,
    }
    assert first["backbone"]["name"] == "resnet152"
    assert "only" not in first["backbone"]
    assert second["backbone"]["architecture"] == "resnet152"
    assert second["backbone"]["only"] == ["modulatedatt", "fc_add"]
    assert second["backbone"]["rest"] is False
    head = changed(form(stage=2), networks__classifier__fix=True)
    assert read(head).plain["classifier"]["only"] == ["fc_hallucinator", "fc_selector"]
    assert read(head).plain["classifier"]["rest"] is False
    assert "only" not in read(changed(form(), networks__classifier__fix=True)).plain["classifier"]


def test_a_plain_first_stage_is_the_suite_s_own() -> None:
    plain = read(form()).plain
    assert plain["stage"] == "feature"
    assert "memory" not in plain
    assert plain["backbone"]["name"] == "resnet10"
    assert plain["backbone"]["fc"] is False


@pytest.mark.parametrize("case", range(11))
def test_eta_is_the_published_one_of_epochs_from_1(case: int) -> None:
    epochs, factor = GOLDEN[f"eta{case}/cfg"].tolist()
    tree = changed(form(), criterions__PerformanceLoss=focal(epochs=int(epochs), factor=factor))
    (loss,) = read(tree).plain["losses"]
    assert loss["label_smoothing"] == 0.1
    eta = plugins.SCHEDULES.scalar(loss["eta"])
    published = GOLDEN[f"eta{case}/timm"][1:]  # epoch 0 is never trained there
    found = [at(eta, Progress(epoch=epoch, epochs=len(published))) for epoch in range(len(published))]
    np.testing.assert_allclose(found, published, rtol=1e-12, atol=1e-14)


def test_a_stage_longer_than_its_loss_leaves_the_unit_interval_as_published() -> None:
    found = read(form(stage=2, cfl=True), place(False, 2, True), cyclical_factor=4)
    eta = plugins.SCHEDULES.scalar(found.plain["losses"][0]["eta"])
    assert at(eta, Progress(epoch=59, epochs=60)) == pytest.approx((4 * 60 / 29 - 1) / 3)  # 2.43
    assert any("loss_params.epochs is 30 in a stage of 60" in note for note in found.notes)


def test_gamma_hc_0_is_the_loss_without_a_cycle() -> None:
    tree = changed(form(), criterions__PerformanceLoss=focal(gamma_hc=0))
    assert read(tree).plain["losses"][0]["eta"] == 0.0


def test_the_command_line_overwrites_what_a_cfl_config_says() -> None:
    tree = form(places=True, cfl=True)
    tree["criterions"]["PerformanceLoss"] = focal(gamma_pos=1, factor=4)
    found = read(tree, place(True, 1, True))
    loss = found.plain["losses"][0]
    assert (loss["gamma_pos"], loss["gamma_neg"], loss["gamma_hc"], loss["eta"]["factor"]) == (0, 4, 2, 2)
    assert found.folder == Path("logs/Places_LT/stage1_cfl_G204")
    notes = "\n".join(found.notes)
    assert "loss_params.gamma_pos: 1 of the config is overwritten by the command line's default 0" in notes
    assert "--cyclical_factor 4 keeps it" in notes
    assert "gamma_neg" not in notes
    kept = read(tree, place(True, 1, True), gamma_pos=1, cyclical_factor=4, gamma_hc=3)
    loss = kept.plain["losses"][0]
    assert (loss["gamma_pos"], loss["gamma_hc"], loss["eta"]["factor"]) == (1, 3, 4)
    assert kept.folder == Path("logs/Places_LT/stage1_cfl_G314")
    assert not any("overwritten" in note for note in kept.notes)
    assert read(form(stage=2, cfl=True), place(False, 2, True)).folder == Path(
        "logs/ImageNet_LT/meta_embedding_cfl_G204"
    )


def test_the_command_line_rules_by_the_config_s_own_name_only() -> None:
    tree = changed(form(cfl=True), criterions__PerformanceLoss=focal(factor=4))
    plain = read(tree, "config/ImageNet_LT/stage_1.py", gamma_hc=3)
    assert plain.plain["losses"][0]["eta"]["factor"] == 4
    assert plain.folder == Path("logs/ImageNet_LT/stage1")
    assert any(note.startswith("--gamma_hc 3 has no effect") for note in plain.notes)
    below = read(tree, "cfl/config/ImageNet_LT/stage_1.py")
    assert below.plain["losses"][0]["eta"]["factor"] == 4
    assert any("cfl in its path counts in the file's name and folder only" in note for note in below.notes)
    assert read(tree, "somewhere/cfl_configs/stage_1.py").folder == Path("logs/ImageNet_LT/stage1_cfl_G204")


def test_a_cfl_stage_2_starts_from_the_plain_stage_1_and_says_so() -> None:
    write(form(), "config/ImageNet_LT/stage_1.py")
    write(form(cfl=True), "config/ImageNet_LT/stage_1_cfl.py")
    found = read(form(stage=2, cfl=True), place(False, 2, True))
    assert found.plain["stage"]["backbone_weights"] == "./logs/ImageNet_LT/stage1/final_model_checkpoint.pth"
    notes = "\n".join(found.notes)
    assert "is of the plain stage 1, not of CFL's, as published" in notes
    assert "is not there, which training starts from: config/ImageNet_LT/stage_1.py writes it" in notes
    Path("logs/ImageNet_LT/stage1").mkdir(parents=True)
    Path("logs/ImageNet_LT/stage1/final_model_checkpoint.pth").touch()
    assert "is not there" not in "\n".join(read(form(stage=2), place(False, 2, False)).notes)


def test_a_published_first_stage_has_no_note_but_that_of_display_step() -> None:
    assert read(form()).notes == ("training_opt.display_step has no effect here: progress is shown all the time",)


@pytest.mark.parametrize(
    ("key", "note"),
    [
        ("surplus", "surplus has no effect: no such key is read; there are: criterions, memory"),
        ("training_opt__num_epoch", "training_opt.num_epoch has no effect: no such key is read"),
        ("training_opt__scheduler_params__gama", "training_opt.scheduler_params.gama has no effect"),
        ("training_opt__sampler__seed", "training_opt.sampler.seed has no effect"),
        ("networks__feat_model__fixed", "networks.feat_model.fixed has no effect: no such key is read"),
        ("networks__feat_model__optim_params__nesterov", "networks.feat_model.optim_params.nesterov has no effect"),
        ("networks__critic", "networks.critic has no effect"),
        ("criterions__FeatureLoss__optim_params__dampening", "criterions.FeatureLoss.optim_params.dampening has no"),
        ("criterions__Other", "criterions.Other has no effect: the published loop uses no such loss"),
        ("memory__size", "memory.size has no effect"),
    ],
)
def test_a_key_that_nobody_reads_is_named(key: str, note: str) -> None:
    tree = changed(form(stage=2), **{key: True})
    del tree["training_opt"]["display_step"]
    if key == "criterions__Other":  # a criterion after the FeatureLoss takes its optimizer away, which is another note
        tree["criterions"]["FeatureLoss"] = tree["criterions"].pop("FeatureLoss")
    found = [line for line in read(tree).notes if "is not there" not in line]
    assert len(found) == 1
    assert found[0].startswith(note.partition("; there")[0])


def test_an_unread_key_that_was_meant_is_told_the_right_one() -> None:
    tree = form()
    del tree["networks"]["feat_model"]["fix"]
    tree["networks"]["feat_model"]["fixx"] = True
    notes = read(tree).notes
    assert "networks.feat_model.fixx has no effect: no such key is read; did you mean 'fix'?" in notes


def keys(tree: Tree, above: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        path = f"{above}{key}"
        found += [path, *(keys(value, f"{path}__") if isinstance(value, dict) else [])]
    return found


OPTIONAL = {
    "training_opt__display_step",
    "training_opt__feature_dim",
    "training_opt__sampler__type",
    "networks__feat_model__fix",
    "criterions__FeatureLoss",
}
POSITIONAL = ("networks__feat_model__params__", "networks__classifier__params__", "__loss_params__")


@pytest.mark.parametrize("path", [key for key in keys(form(stage=2)) if not any(part in key for part in POSITIONAL)])
def test_a_required_key_that_is_missing_is_named(path: str) -> None:
    tree = form(stage=2)
    *above, last = path.split("__")
    place = tree
    for key in above:
        place = place[key]
    del place[last]
    if path in OPTIONAL - {"criterions__FeatureLoss"}:
        read(tree)
    elif path == "criterions__FeatureLoss":
        assert fails(tree).startswith("memory.init_centroids: the centroids are those of a FeatureLoss")
    else:
        assert fails(tree).startswith(f"{path.replace('__', '.')} is missing")


def test_values_go_in_by_their_order_and_names_do_not_count() -> None:
    params = {"fc": True, "attention": False, "dropout": 0.5, "weights": False, "data": "X"}
    found = read(changed(form(), networks__feat_model__params=params))
    assert found.plain["backbone"]["architecture"] == "resnet10"
    assert found.plain["backbone"]["fc"] is False
    assert "networks.feat_model.params.dropout has no effect: the published networks ignore it" in found.notes
    swapped = {"use_fc": True, "use_modulatedatt": False, "dropout": None, "stage1_weights": False, "dataset": "X"}
    notes = read(changed(form(), networks__feat_model__params=swapped)).notes
    assert any("params.use_fc stands where use_modulatedatt does, and is read as that" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"networks__classifier__params__in_dim": 2048},
            "networks.classifier.params.feat_dim: 2048, but there are 512",
        ),
        (
            {"networks__classifier__params__num_classes": 10},
            "networks.classifier.params.num_classes: 10, but there are",
        ),
        ({"training_opt__feature_dim": 2048}, "training_opt.feature_dim: 2048, but models/ResNet10Feature.py has 512"),
        (
            {"criterions__PerformanceLoss__loss_params": {"a": 1}},
            "criterions.PerformanceLoss.loss_params.a: the publis",
        ),
        ({"memory__init_centroids": True}, "memory.init_centroids: the centroids are those of a FeatureLoss"),
        ({"networks__classifier__def_file": "./models/MetaEmbeddingClassifier.py"}, "networks.classifier.def_file: it"),
        (
            {"networks__classifier__def_file": "./models/ResNet10Feature.py"},
            "networks.classifier.def_file: ./models/Re",
        ),
        ({"training_opt__num_epochs": "30"}, "training_opt.num_epochs: a whole number from 0 on, not '30'"),
        ({"training_opt__open_threshold": None}, "training_opt.open_threshold: a number, not None"),
        ({"training_opt__dataset": 3}, "training_opt.dataset: a word, not 3"),
        ({"training_opt": []}, "training_opt is a dictionary, not []"),
        ({"training_opt__scheduler_params__step_size": 0}, "training_opt.scheduler_params.step_size: a whole number"),
        ({"networks__feat_model__params__dataset": object}, "networks.feat_model.params.dataset: a type cannot be st"),
        (
            {"training_opt__sampler": {"def_file": "./data/Mine.py", "num_samples_cls": 4}},
            "training_opt.sampler.def_file: a sampler of your own is written as a part of this suite",
        ),
    ],
)
def test_a_value_that_cannot_run_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    tree = changed(form(), **changes)
    path = Path("config/Mine_LT/stage.py")
    if changes.get("networks__feat_model__params__dataset") is object:
        changed(tree, networks__feat_model__params__dataset="OBJECT")
        path = write(tree, str(path))
        path.write_text(path.read_text().replace("'OBJECT'", "object"))
        with pytest.raises(UserError) as caught:
            legacy.read(path)
        assert str(caught.value).startswith(f"{path}: {message}")
        return
    assert fails(tree).startswith(message)


def test_caffe_and_stage_1_weights_exclude_each_other() -> None:
    both = changed(form(places=True), networks__feat_model__params__stage1_weights=True)
    assert "not from both" in fails(both)
    neither = changed(form(places=True), networks__feat_model__params__caffe=False)
    found = read(neither)
    assert found.plain["stage"] == "feature"
    assert any("it starts from random weights; the published code stops" in note for note in found.notes)


def test_centroids_train_only_if_their_criterion_is_the_last_with_an_optimizer() -> None:
    tree = form(stage=2)
    assert read(tree).plain["memory"]["optim"]["momentum"] == 0.9
    turned = form(stage=2)
    turned["criterions"] = dict(reversed(turned["criterions"].items()))
    for frozen, why in (
        (turned, "is dropped, since PerformanceLoss stands after FeatureLoss"),
        (changed(form(stage=2), criterions__FeatureLoss__optim_params=None), "is None"),
    ):
        found = read(frozen)
        assert found.plain["memory"]["optim"]["lr"] == 0.0
        assert [loss["name"] for loss in found.plain["losses"]] == ["cross_entropy", "disc_centroids"]
        assert f"criterions.FeatureLoss.optim_params {why}: the centroids do not train, as published" in found.notes


@pytest.mark.parametrize(("read_by", "means"), [(True, True), (True, False), (False, True), (False, False)])
def test_centroids_with_a_classifier_that_reads_none(read_by: bool, means: bool) -> None:
    tree = changed(form(stage=2), memory__centroids=read_by, memory__init_centroids=means)
    changed(tree, networks__classifier__def_file="./models/DotProductClassifier.py")
    plain = read(tree).plain
    assert plain["stage"]["init_centroids"] is means
    assert "memory" in plain


def test_lists_below_the_working_directory_are_found_there() -> None:
    assert "lists" not in read(form()).plain["data"]
    Path("data/ImageNet_LT").mkdir(parents=True)
    Path("data/ImageNet_LT/ImageNet_LT_train.txt").touch()
    assert read(form()).plain["data"]["lists"] == "./data/ImageNet_LT"


def test_a_user_s_own_files_are_wrapped_with_their_arguments_in_order() -> None:
    Path("mine").mkdir()
    tree = changed(
        form(stage=2),
        networks__feat_model__def_file="./mine/Net.py",
        networks__feat_model__params={"width": 8, "depths": (1, 2), "pre": None},
        networks__feat_model__fix=True,
        training_opt__feature_dim=24,
        networks__classifier__def_file="./mine/Head.py",
        networks__classifier__params={"a": 24, "b": 3},
        criterions__PerformanceLoss__def_file="./mine/focal.py",
        criterions__PerformanceLoss__loss_params={"gamma_hc": 1, "other": "x"},
        criterions__FeatureLoss__def_file="./mine/centers.py",
        memory__init_centroids=False,
    )
    plain = read(tree).plain
    assert plain["backbone"].pop("optim")
    assert plain["backbone"] == {
        "name": "oltr.published.networks:Backbone",
        "file": "./mine/Net.py",
        "arguments": [8, [1, 2], None],
        "feature_dim": 24,
        "fix": True,
    }
    assert plain["classifier"]["name"] == "oltr.published.networks:MemoryClassifier"
    assert plain["classifier"]["arguments"] == [24, 3]
    assert plain["losses"] == [
        {
            "name": "oltr.published.losses:PerformanceLoss",
            "file": "./mine/focal.py",
            "arguments": [1, "x"],
            "epoch": True,
            "weight": 1.0,
        },
        {
            "name": "oltr.published.losses:CentroidLoss",
            "file": "./mine/centers.py",
            "arguments": [512, 1000],
            "weight": 0.01,
        },
    ]
    assert plain["stage"] == {
        "name": "oltr.published.stage:PublishedStage",
        "feature_loss": "./mine/centers.py",
        "arguments": [512, 1000],
        "init_centroids": False,
    }


@pytest.mark.parametrize(
    ("file", "gamma", "told"),
    [("mine/focal.py", 2, True), ("mine/focal.py", 0, False), ("focal.py", 2, False), ("mine/loss.py", 2, False)],
)
def test_a_loss_of_one_s_own_is_told_the_epoch_by_cfl_s_rule(file: str, gamma: int, told: bool) -> None:
    tree = changed(form(), criterions__PerformanceLoss=focal(gamma_hc=gamma))
    changed(tree, criterions__PerformanceLoss__def_file=file)
    assert read(tree).plain["losses"][0]["epoch"] is told


def test_a_file_of_a_published_name_with_another_text_is_the_user_s_own() -> None:
    Path("models").mkdir()
    Path("models/DotProductClassifier.py").write_text("def create_model(*values): ...\n")
    found = read(form())
    assert found.plain["classifier"]["file"] == "./models/DotProductClassifier.py"
    assert found.plain["classifier"]["arguments"] == [512, 1000, False, "ImageNet_LT"]
    assert any("models/DotProductClassifier.py is not the published text, so yours runs" in n for n in found.notes)


def test_a_published_file_that_imports_a_changed_one_is_the_user_s_own() -> None:
    Path("utils.py").write_text("mine = 1\n")
    found = read(form())
    assert found.plain["classifier"]["name"] == "oltr.published.networks:Classifier"
    assert any("utils.py is not the published text" in note for note in found.notes)


def test_an_error_in_the_config_is_one_line_with_its_place() -> None:
    for text, message in (
        ("x = 1\nconfig = {\n", "bad.py:2: SyntaxError: '{' was never closed"),
        ("x = 1\nconfig = x['a']\n", "bad.py:2: TypeError: 'int' object is not subscriptable"),
        ("import nothing_of_that_name\n", "bad.py:1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise SystemExit(3)\n", "bad.py:1: SystemExit: 3"),
        ("settings = {}\n", "bad.py: no published config: it defines no dictionary named config"),
        ("config = 3\n", "bad.py: config is a dictionary, not 3"),
    ):
        Path("bad.py").write_text(text)
        with pytest.raises(UserError) as caught:
            legacy.read(Path("bad.py"))
        assert str(caught.value) == message


def test_a_config_may_import_what_lies_in_the_working_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("numbers_of_mine.py").write_text("EPOCHS = 7\n")
    path = write(form(), "config/Mine_LT/stage.py")
    path.write_text(
        "from numbers_of_mine import EPOCHS\nprint('hello')\n"
        + path.read_text()
        + "config['training_opt']['num_epochs'] = EPOCHS\n"
    )
    assert legacy.read(path).plain["epochs"] == 7
    assert capsys.readouterr().out == ""  # stdout is for results


def test_criterions_take_their_weights_and_settings() -> None:
    tree = changed(form(stage=2), criterions__PerformanceLoss=softmax() | {"weight": 2, "optim_params": optim(1)})
    found = read(tree)
    assert [loss["weight"] for loss in found.plain["losses"]] == [2, 0.01]
    assert any("PerformanceLoss.optim_params has no effect" in note for note in found.notes)


def test_numbers_and_words_of_every_kind_become_plain_ones() -> None:
    path = write(form(), "config/Mine_LT/stage.py")
    path.write_text(
        "import enum, fractions, pathlib\nimport numpy as np\n"
        + path.read_text()
        + "class Word(str, enum.Enum):\n    NAME = 'Mine_LT'\n"
        "class Count(enum.IntEnum):\n    FOUR = 4\n"
        "features = config['networks']['feat_model']\n"
        "quarter = fractions.Fraction(1, 4)\n"
        "features['optim_params'].update(lr=np.float64(0.5), momentum=np.float32(0.5), weight_decay=quarter)\n"
        "features['params'].update(use_fc=np.bool_(True), dataset=np.str_('X_LT'))\n"
        "features['def_file'] = pathlib.Path('models/ResNet10Feature.py')\n"
        "config['training_opt'].update(num_epochs=np.int32(3), dataset=Word.NAME, batch_size=Count.FOUR)\n"
        "config['training_opt']['num_classes'] = np.array(1000)\n"
    )
    plain = legacy.read(path).plain
    assert read_yaml(write_yaml(plain), "written") == plain
    optim = plain["backbone"]["optim"]
    assert (optim["lr"]["value"], optim["momentum"], optim["weight_decay"]) == (0.5, 0.5, 0.25)
    assert plain["backbone"]["fc"] is True
    assert (plain["epochs"], plain["batch_size"], plain["data"]["num_classes"]) == (3, 4, 1000)
    assert plain["data"]["list_name"] == "Mine_LT"
    for value, message in (
        ("np.bool_(True)", "training_opt.num_epochs: a whole number from 0 on, not"),
        ("np.float64(3)", "training_opt.num_epochs: a whole number from 0 on, not"),
        ("np.zeros(2)", "training_opt.num_epochs: a whole number from 0 on, not"),
    ):
        path.write_text(path.read_text() + f"config['training_opt']['num_epochs'] = {value}\n")
        with pytest.raises(UserError) as caught:
            legacy.read(path)
        assert str(caught.value).startswith(f"{path}: {message}")


def test_a_config_is_compiled_as_it_stands() -> None:
    """A __future__ of ours in it would make its annotations words."""
    path = write(form(), "config/Mine_LT/stage.py")
    path.write_text(path.read_text() + "def kept(a: int): ...\nassert kept.__annotations__ == {'a': int}\n")
    assert legacy.read(path).plain["epochs"] == 30


def test_an_error_in_what_a_config_imports_has_both_places() -> None:
    Path("broken_of_mine.py").write_text("x = 1\nraise ValueError('inside')\n")
    Path("bad.py").write_text("x = 1\nimport broken_of_mine\n")
    with pytest.raises(UserError) as caught:
        legacy.read(Path("bad.py"))
    assert str(caught.value) == "bad.py:2: broken_of_mine.py:2: ValueError: inside"
    Path("broken_of_mine.py").write_text("x = (\n")
    with pytest.raises(UserError) as caught:
        legacy.read(Path("bad.py"))
    assert str(caught.value) == "bad.py:2: broken_of_mine.py:1: SyntaxError: '(' was never closed"


@pytest.mark.parametrize(("network", "values"), [("feat_model", 5), ("classifier", 4)])
def test_a_value_in_the_place_of_the_test_mode_is_said_to_stop_the_loading(network: str, values: int) -> None:
    for value, note in (
        (True, "stands where `test` does: no weights are loaded, as published"),
        (False, "stands where `test` does, and has no effect"),
    ):
        tree = form(stage=2)
        params = tree["networks"][network]["params"]
        assert len(params) == values
        params["caffe"] = value
        found = read(tree)
        loaded = {"feat_model": "backbone_weights", "classifier": "classifier_weights"}[network]
        assert (loaded in found.plain["stage"]) is not value
        assert f"networks.{network}.params.caffe {note}" in found.notes
        assert sum("params.caffe" in line for line in found.notes) == 1


def test_a_feature_loss_of_one_s_own_that_trains_has_the_memory_that_the_classifier_does_not_read() -> None:
    tree = changed(form(stage=2), memory__centroids=False, memory__init_centroids=False)
    changed(tree, networks__classifier__def_file="./models/DotProductClassifier.py")
    changed(tree, criterions__FeatureLoss__def_file="./mine/centers.py")
    found = read(tree)
    assert found.plain["losses"][1]["name"] == "oltr.published.losses:CentroidLoss"
    assert found.plain["memory"]["optim"]["lr"]["value"] == 0.01
    assert found.plain["stage"]["feature_loss"] == "./mine/centers.py"
    assert found.plain["stage"]["init_centroids"] is False
    assert not any("optim_params" in note for note in found.notes)
    still = read(changed(tree, criterions__FeatureLoss__optim_params=None))
    assert still.plain["losses"][1]["name"] == "oltr.published.losses:FeatureLoss"
    assert "memory" not in still.plain


def test_the_config_called_stage_1_is_taken_for_the_one_that_writes_the_weights() -> None:
    for name in ("again", "stage_1_long"):
        write(form(), f"config/ImageNet_LT/{name}.py")
    notes = "\n".join(read(form(stage=2), place(False, 2, False)).notes)
    assert "which training starts from: config/ImageNet_LT/stage_1_long.py writes it" in notes
