"""Backbones of small images, against the same networks written out with functions."""

import pytest
import torch
from torch.nn import functional as F

from oltr.contracts import UserError
from oltr.networks.small_resnet import resnet32, small_resnet10


def normalised(maps, state, key):
    return F.batch_norm(
        maps, state[f"{key}.running_mean"], state[f"{key}.running_var"], state[f"{key}.weight"], state[f"{key}.bias"]
    )


def written_out(state, images, depths, shortcut):
    """The features by formula; ``shortcut(maps, state, key, stride)`` where a block changes the shape."""
    maps = F.relu(normalised(F.conv2d(images, state["conv1.weight"], padding=1), state, "bn1"))
    for number, depth in enumerate(depths):
        for position in range(depth):
            key, stride = f"layer{number + 1}.{position}", 2 if number and not position else 1
            inner = F.conv2d(maps, state[f"{key}.conv1.weight"], stride=stride, padding=1)
            inner = F.conv2d(F.relu(normalised(inner, state, f"{key}.bn1")), state[f"{key}.conv2.weight"], padding=1)
            beside = shortcut(maps, state, key) if stride == 2 else maps
            maps = F.relu(normalised(inner, state, f"{key}.bn2") + beside)
    return maps.mean((2, 3))


def padded(maps, state, key):
    widened = torch.zeros(len(maps), 2 * maps.shape[1], *maps[0, 0, ::2, ::2].shape, dtype=maps.dtype)
    quarter = maps.shape[1] // 2
    widened[:, quarter : quarter + maps.shape[1]] = maps[:, :, ::2, ::2]
    return widened


def projected(maps, state, key):
    return normalised(F.conv2d(maps, state[f"{key}.downsample.0.weight"], stride=2), state, f"{key}.downsample.1")


@pytest.mark.parametrize(
    ("network", "depths", "shortcut"), [(resnet32, (5, 5, 5), padded), (small_resnet10, (1, 1, 1, 1), projected)]
)
@pytest.mark.parametrize("size", [32, 27])
def test_features_equal_the_network_written_out(network, depths, shortcut, size):
    generator = torch.Generator().manual_seed(1)
    built = network().double().eval()
    for norm in (module for module in built.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            values.uniform_(0.5, 1.5, generator=generator)
    images = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(built(images), written_out(built.state_dict(), images, depths, shortcut))


def test_sizes_of_the_networks():
    # The CIFAR ResNet-32 has 464,154 parameters with its 10-class layer (0.46 M; He et al., 2016).
    assert sum(parameter.numel() for parameter in resnet32().parameters()) == 464_154 - 650
    assert resnet32().feature_dim == 64
    assert small_resnet10().feature_dim == 128
    assert small_resnet10(width=5).feature_dim == 40


def test_start_of_the_convolutions():
    torch.manual_seed(0)
    assert resnet32().layer3[0].conv1.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.03)
    assert small_resnet10().layer4[0].conv1.weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.03)


@pytest.mark.parametrize(("network", "map_size"), [(resnet32, 7), (small_resnet10, 4)])
def test_attention_and_channels_last(network, map_size):
    torch.manual_seed(0)
    built = network(attention=True, image_size=28).double()
    assert built.modulatedatt.size == map_size
    torch.nn.init.normal_(built.modulatedatt.conv_mask.weight)
    images = torch.randn(3, 3, 28, 28, dtype=torch.float64)
    plain = built(images)
    last = built.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain)
    with pytest.raises(UserError, match="images of 28 x 28, not 32 x 32"):
        built(torch.zeros(1, 3, 32, 32, dtype=torch.float64))


def test_a_width_of_zero_is_refused():
    with pytest.raises(UserError, match=r"width: .* not 0"):
        small_resnet10(width=0)
