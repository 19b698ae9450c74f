"""Configs of the published form, in words of our own, and what they need beside them."""

from __future__ import annotations

import pprint
from pathlib import Path
from typing import Any

from PIL import Image

Tree = dict[str, Any]


FORMS = [(places, stage, cfl) for places in (False, True) for stage in (1, 2) for cfl in (False, True)]
"""Which form a published config may have."""


def place(places: bool, stage: int, cfl: bool) -> str:
    """Where a config of that form lies in the published tree."""
    name = f"stage_{stage}{'_cfl' if cfl else ''}{'_meta_embedding' if stage == 2 else ''}"
    return f"config/{'Places_LT' if places else 'ImageNet_LT'}/{name}.py"


def form(*, places: bool = False, stage: int = 1, cfl: bool = False) -> Tree:
    """One of the eight published forms: two data sets, two stages, plain or CFL, with their published numbers."""
    dataset, second = "Places_LT" if places else "ImageNet_LT", stage == 2
    every = 20 if second and not places else 10
    rate = (0.0001, 0.01) if places and second else (0.001, 0.1) if places else (0.01, 0.1) if second else (0.1, 0.1)
    sampler = {"type": "ClassAwareSampler", "def_file": "./data/ClassAwareSampler.py", "num_samples_cls": 4}
    training = {
        "dataset": dataset,
        "log_dir": f"./logs/{dataset}/{'meta_embedding' if second else 'stage1'}",
        "num_classes": 365 if places else 1000,
        "batch_size": 128,
        "num_workers": 4 if places else 8,
        "num_epochs": 60 if second and not places else 30,
        "display_step": 10,
        "feature_dim": 512,
        "open_threshold": 0.1,
        "sampler": sampler if second else None,
        "scheduler_params": {"step_size": every, "gamma": 0.1},
    }
    features = {"use_modulatedatt": second, "use_fc": places or second, "dropout": None}
    features |= {"stage1_weights": second, "dataset": dataset, **({"caffe": not second} if places else {})}
    head = {"in_dim": 512, "num_classes": training["num_classes"], "stage1_weights": second, "dataset": dataset}
    networks = {
        "feat_model": {
            "def_file": f"./models/ResNet{152 if places else 10}Feature.py",
            "params": features,
            "optim_params": optim(rate[0]),
            "fix": places and second,
        },
        "classifier": {
            "def_file": f"./models/{'MetaEmbedding' if second else 'DotProduct'}Classifier.py",
            "params": head,
            "optim_params": optim(rate[1]),
        },
    }
    criterions = {"PerformanceLoss": focal(factor=2 if places else 4) if cfl else softmax()}
    if second:
        criterions["FeatureLoss"] = {
            "def_file": "./loss/DiscCentroidsLoss.py",
            "loss_params": {"feat_dim": 512, "num_classes": training["num_classes"]},
            "optim_params": optim(0.01),
            "weight": 0.01,
        }
    memory = {"centroids": second, "init_centroids": second}
    return {"training_opt": training, "networks": networks, "criterions": criterions, "memory": memory}


def optim(lr: float) -> Tree:
    return {"lr": lr, "momentum": 0.9, "weight_decay": 0.0005}


def softmax() -> Tree:
    return {"def_file": "./loss/SoftmaxLoss.py", "loss_params": {}, "optim_params": None, "weight": 1.0}


def focal(*, factor: float = 4, epochs: int = 30, gamma_pos: float = 0, gamma_hc: float = 2) -> Tree:
    params = {"gamma_pos": gamma_pos, "gamma_neg": 4, "gamma_hc": gamma_hc, "epochs": epochs, "factor": factor}
    return {"def_file": "./loss/asl_focal_loss.py", "loss_params": params, "optim_params": None, "weight": 1.0}


def changed(tree: Tree, **values: Any) -> Tree:
    """The tree with values set at key paths, written with ``__`` between keys."""
    for path, value in values.items():
        *above, last = path.split("__")
        place = tree
        for key in above:
            place = place[key]
        place[last] = value
    return tree


def write(tree: Tree, path: str) -> Path:
    """The config as a Python file of the published kind, below the working directory."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"# a config\nconfig = {{}}\nconfig.update({pprint.pformat(tree, sort_dicts=False)})\n")
    return target


def write_images(dataset: str, *, counts: tuple[int, ...] = (9, 6, 3), size: int = 12, root: str = "images") -> Path:
    """A small data set in the published layout: lists in ./data, images below ``root``, open ones beside the lists."""
    lists = Path("data") / dataset
    lists.mkdir(parents=True, exist_ok=True)
    sets = {"train": counts, "val": (2,) * len(counts), "test": (3,) * len(counts), "open": (4,)}
    for split, numbers in sets.items():
        lines = []
        for label, number in enumerate(numbers):
            for index in range(number):
                name = f"{split}/{label}/{index}.png"
                place = (lists / f"{dataset}_open" if split == "open" else Path(root)) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                tint = 70 * label + 20 if split != "open" else 128
                Image.new("RGB", (size, size), (tint, (37 * index + 11 * label) % 256, 255 - tint)).save(place)
                lines.append(f"{name} {-1 if split == 'open' else label}\n")
        (lists / f"{dataset}_{split}.txt").write_text("".join(lines))
    return Path(root)
