"""Networks of the published form: initial weights, wrappers of a user's own files, and what they say when they fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from oltr import plugins
from oltr.contracts import UserError
from oltr.published.networks import Backbone, Classifier, MemoryClassifier, attentive
from oltr.published.user_file import made

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width, images):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.modulatedatt = nn.Linear(width, width)
        self.images = images

    def forward(self, x):
        return self.modulatedatt(self.bn1(self.conv1(x)).mean((2, 3))), None

def create_model(width, path=None, test=False):
    print('made')
    net = Net(width, None)
    if path and not test:
        net.conv1.load_state_dict(torch.load(path))
    return net
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def file(text: str, name: str = "mine.py") -> str:
    Path(name).write_text(text)
    return name


def refused(text: str, maker: str = "create_model", *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        made(file(text), maker, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("architecture", ["resnet10", "resnet50"])
def test_a_published_attention_starts_at_random_and_the_rest_as_ours(architecture: str) -> None:
    torch.manual_seed(0)
    published = attentive(architecture=architecture, fc=True, image_size=64)
    ours = plugins.BACKBONES.build(architecture, {"attention": True, "fc": True}, image_size=64)
    assert list(published.state_dict()) == list(ours.state_dict())
    for name in ("g", "theta", "phi", "conv_mask"):
        weight = published.get_parameter(f"modulatedatt.{name}.weight")
        assert weight.std().item() == pytest.approx((2 / weight.shape[0]) ** 0.5, rel=0.02)
        assert abs(weight.mean().item()) < 1e-3
    assert not ours.get_parameter("modulatedatt.conv_mask.weight").any()
    for name in ("g", "theta", "phi"):
        assert not published.get_parameter(f"modulatedatt.{name}.bias").any()
    kernel = published.get_parameter("layer4.0.conv2.weight")
    assert kernel.std().item() == pytest.approx((2 / (9 * kernel.shape[0])) ** 0.5, rel=0.02)


def test_a_backbone_of_one_s_own_gives_the_first_of_what_it_returns(capsys: pytest.CaptureFixture[str]) -> None:
    backbone = Backbone(file=file(NET), arguments=[6, None], feature_dim=6)
    images = torch.rand(4, 3, 8, 8)
    backbone.eval()
    assert torch.equal(backbone(images), backbone.module(images)[0])
    assert next(iter(backbone.state_dict())) == "module.conv1.weight"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "made\n"


def test_fix_freezes_by_name_and_statistics_move_on() -> None:
    backbone = Backbone(file=file(NET), arguments=[6, None], feature_dim=6, fix=True)
    trained = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trained == {"module.modulatedatt.weight", "module.modulatedatt.bias"}
    before = backbone.module.bn1.running_mean.clone()
    backbone.train()(torch.rand(4, 3, 8, 8))
    assert not torch.equal(before, backbone.module.bn1.running_mean)


def test_what_its_own_code_loads_is_taken_over_and_nothing_else() -> None:
    torch.manual_seed(3)
    donor = nn.Conv2d(3, 6, 3)
    torch.save(donor.state_dict(), "conv.pth")
    backbone = Backbone(file=file(NET), arguments=[6, "conv.pth"], feature_dim=6)
    given = {key: torch.rand_like(value) for key, value in backbone.state_dict().items() if value.is_floating_point()}
    backbone.load_state_dict(given, strict=False)  # as from a file of initial weights
    parameters = list(backbone.parameters())
    state = torch.random.get_rng_state()
    assert backbone.load_as_published() == 2
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(
        one is two for one, two in zip(parameters, backbone.parameters(), strict=True)
    )  # an optimizer holds them
    for key, value in given.items():
        wanted = donor.state_dict()[key.removeprefix("module.conv1.")] if key.startswith("module.conv1.") else value
        assert torch.equal(backbone.state_dict()[key], wanted), key
    assert Backbone(file="mine.py", arguments=[6, None], feature_dim=6).load_as_published() == 0


HEAD = """
from torch import nn

class Head(nn.Linear):
    def forward(self, x, centroids):
        return super().forward(x) + (0 if centroids is None else x @ centroids.T), centroids

def create_model(*values):
    return Head(*values[:-1])
"""


def test_a_classifier_sees_the_memory_only_where_it_reads_one() -> None:
    features, centroids = torch.rand(4, 6), torch.rand(3, 6)
    blind = Classifier(file=file(HEAD), arguments=[6, 3], num_classes=3)
    seeing = MemoryClassifier(file="mine.py", arguments=[6, 3], num_classes=3)
    seeing.load_state_dict(blind.state_dict())
    assert torch.equal(blind(features, centroids), blind(features, None))
    assert torch.allclose(seeing(features, centroids), blind(features) + features @ centroids.T)
    assert not getattr(Classifier, "needs_memory", False)
    assert MemoryClassifier.needs_memory


def test_outputs_of_another_shape_are_named() -> None:
    backbone = Backbone(file=file(NET), arguments=[6, None], feature_dim=5)
    with pytest.raises(UserError, match=r"^mine.py: forward returns \[4, 6\] as features of 4 images, not \[4, 5\]$"):
        backbone(torch.rand(4, 3, 8, 8))
    nothing = file(
        "from torch import nn\nclass N(nn.Module):\n  forward = lambda self, x: None\ncreate_model = lambda t: N()"
    )
    with pytest.raises(UserError, match=r"forward returns a NoneType as features"):
        Backbone(file=nothing, feature_dim=5)(torch.rand(4, 3, 8, 8))


def test_what_cannot_be_made_is_one_line_with_its_place() -> None:
    assert refused("x = 1\n").startswith("mine.py: there is no function create_model(...) in it")
    assert refused("x = (\n") == "mine.py:1: SyntaxError: '(' was never closed"
    assert refused("x = 1\nimport models_of_nobody\n").startswith(
        "mine.py:2: ModuleNotFoundError: No module named 'models_of_nobody'; files that it imports are"
    )
    assert refused("def create_model(width, test): ...\n", "create_model", 1, 2, False).startswith(
        "mine.py: create_model(width, test) cannot be called with 1, 2, False: too many positional arguments"
    )
    assert refused("def create_model(w, test):\n    return w\n", "create_model", 1, True) == (
        "mine.py: create_model(...) returns a int, not a torch.nn.Module"
    )
    assert refused("def create_model(test):\n    x = 1\n    return x / 0\n", "create_model", True) == (
        "mine.py:3: ZeroDivisionError: division by zero (in create_model(True))"
    )
    assert refused("raise SystemExit(0)\n") == "mine.py:1: SystemExit: 0"
    assert refused("def create_model(test):\n    exit()\n", "create_model", True) == (
        "mine.py:2: SystemExit: None (in create_model(True))"
    )
    assert "no such file in" in refused_file("nowhere.py")


def refused_file(name: str) -> str:
    with pytest.raises(UserError) as caught:
        made(name, "create_model", [])
    return str(caught.value)


def test_the_place_is_in_the_file_that_failed() -> None:
    Path("helpers_of_mine.py").write_text("def broken():\n    raise ValueError('two\\nlines')\n")
    text = "from helpers_of_mine import broken\ndef create_model(test):\n    return broken()\n"
    message = refused(text, "create_model", True)
    sys.modules.pop("helpers_of_mine")
    assert message == "mine.py:3: helpers_of_mine.py:2: ValueError: two (in create_model(True))"


@pytest.mark.skipif(torch.cuda.is_available(), reason="cuda works here")
def test_cuda_without_a_gpu_is_told_what_to_do() -> None:
    message = refused("import torch\ndef create_model(test):\n    return torch.zeros(1).cuda()\n", "create_model", True)
    assert "take .cuda() out of the file" in message


def test_a_forward_that_fails_is_named() -> None:
    text = NET.replace("self.bn1(self.conv1(x))", "self.bn1(self.conv1(x)) @ x")
    with pytest.raises(UserError, match=r"^mine.py:14: RuntimeError: .* \(in its forward\(\.\.\.\)\)$"):
        Backbone(file=file(text), arguments=[6, None], feature_dim=6)(torch.rand(4, 3, 8, 8))
