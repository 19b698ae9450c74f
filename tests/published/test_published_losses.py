"""A user's own losses in the published form: what they are given, and where their gradients land."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oltr.contracts import Outputs, Progress, UserError
from oltr.published.losses import CentroidLoss, FeatureLoss, PerformanceLoss

FIRST = Progress(epoch=0, epochs=4)
THIRD = Progress(epoch=2, epochs=4)
CENTERS = """
import torch
from torch import nn

class Centers(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.centroids = nn.Parameter(torch.full((classes, dim), 5.0))

    def forward(self, features, labels):
        return ((features - self.centroids[labels]) ** 2).sum() / len(features)

def create_loss(dim, classes):
    return Centers(dim, classes)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def outputs() -> Outputs:
    torch.manual_seed(0)
    features = torch.rand(5, 4, requires_grad=True)
    return Outputs(features, torch.rand(5, 3, requires_grad=True), nn.Parameter(torch.rand(3, 4)))


LABELS = torch.tensor([0, 2, 1, 2, 2])


def file(text: str) -> str:
    Path("mine.py").write_text(text)
    return "mine.py"


def test_a_performance_loss_is_given_logits_and_labels_and_where_wanted_the_epoch(outputs: Outputs) -> None:
    Path("mine.py").write_text(
        "from torch import nn\nclass L(nn.CrossEntropyLoss):\n"
        "    def forward(self, logits, labels, epoch=0):\n        return super().forward(logits, labels) + epoch\n"
        "def create_loss(weight):\n    return L(label_smoothing=weight)\n"
    )
    plain = F.cross_entropy(outputs.logits, LABELS, label_smoothing=0.25)
    without, told = (PerformanceLoss(file="mine.py", arguments=[0.25], epoch=epoch) for epoch in (False, True))
    assert torch.allclose(without(outputs, LABELS, THIRD), plain)
    assert torch.allclose(told(outputs, LABELS, FIRST), plain + 1)  # published epochs count from 1
    assert torch.allclose(told(outputs, LABELS, THIRD), plain + 3)


def test_the_centroids_of_a_loss_are_the_memory(outputs: Outputs) -> None:
    loss = CentroidLoss(file=file(CENTERS), arguments=[4, 3], feature_dim=4, num_classes=3)
    assert outputs.centroids is not None
    value = loss(outputs, LABELS, FIRST)
    away = outputs.features - outputs.centroids[LABELS]
    assert torch.allclose(value, away.square().sum() / 5)
    value.backward()
    wanted = torch.zeros(3, 4).index_add(0, LABELS, -2 * away / 5)
    assert torch.allclose(outputs.centroids.grad, wanted.detach())
    assert torch.allclose(outputs.features.grad, (2 * away / 5).detach())
    assert CentroidLoss.needs_memory


def test_a_feature_loss_without_centroids_needs_no_memory(outputs: Outputs) -> None:
    text = "from torch import nn\nclass L(nn.Module):\n  forward = lambda s, f, y: f[y == 2].sum()\ncreate_loss = L\n"
    loss = FeatureLoss(file=file(text))
    assert torch.equal(loss(outputs, LABELS, FIRST), outputs.features[[1, 3, 4]].sum())
    assert not getattr(FeatureLoss, "needs_memory", False)


@pytest.mark.parametrize("wrapper", [PerformanceLoss, FeatureLoss])
def test_a_loss_that_trains_itself_says_what_to_do(wrapper: type) -> None:
    with pytest.raises(UserError, match=r"its loss trains centroids: set memory\['centroids'\] to True"):
        wrapper(file=file(CENTERS), arguments=[4, 3])
    text = "from torch import nn\ncreate_loss = lambda: nn.Bilinear(2, 2, 1)\n"
    with pytest.raises(UserError, match=r"mine.py: its loss trains weight, bias; here networks and class centroids"):
        wrapper(file=file(text))


def test_centroids_of_another_shape_or_none_are_named() -> None:
    with pytest.raises(UserError, match=r"mine.py: its centroids are \[3, 4\], not \[3, 8\]"):
        CentroidLoss(file=file(CENTERS), arguments=[4, 3], feature_dim=8, num_classes=3)
    text = "from torch import nn\ncreate_loss = lambda: nn.CrossEntropyLoss()\n"
    with pytest.raises(UserError, match=r"mine.py: its loss has no parameter centroids"):
        CentroidLoss(file=file(text), feature_dim=8, num_classes=3)


def test_a_loss_that_is_not_one_number_is_named(outputs: Outputs) -> None:
    text = "from torch import nn\ncreate_loss = lambda: nn.CrossEntropyLoss(reduction='none')\n"
    with pytest.raises(UserError, match=r"mine.py: its loss returns \[5\], not one number"):
        PerformanceLoss(file=file(text))(outputs, LABELS, FIRST)
    text = "from torch import nn\nclass L(nn.Module):\n  def forward(s, a):\n    return a\ncreate_loss = lambda: L()\n"
    with pytest.raises(UserError, match=r"^mine.py: TypeError: .*forward\(\) takes 2 positional arguments"):
        PerformanceLoss(file=file(text))(outputs, LABELS, FIRST)
