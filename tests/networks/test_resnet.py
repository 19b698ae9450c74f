"""The published backbones: names and shapes, golden numbers, and torchvision's ResNet as an independent oracle."""

import copy
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from oltr.contracts import UserError
from oltr.networks.resnet import resnet10, resnet50, resnet152

GOLDEN = Path(__file__).parents[1] / "golden"
LAYOUTS = json.loads((GOLDEN / "oltr_layouts.json").read_text())
VARIANTS = [(attention, fc) for attention in (False, True) for fc in (False, True)]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "oltr_resnet.npz") as arrays:
        return dict(arrays)


def hashed(count, position):
    """The golden files' integer hash of an entry's position and each element's index, in [-1, 1)."""
    mask = np.uint64(0xFFFFFFFF)
    state = np.arange(count, dtype=np.uint64) * np.uint64(2654435761)
    state = (state + np.uint64((position + 1) * 2246822519 % 2**32 + 12345)) & mask
    for shift, factor in ((15, 2246822519), (13, 3266489917), (16, 1)):
        state = ((state ^ (state >> np.uint64(shift))) * np.uint64(factor)) & mask
    return 2 * state.astype(np.float64) / 2**32 - 1


def hashed_value(key, shape, position):
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape)
    draw = hashed(int(np.prod(shape)), position).reshape(shape)
    if len(shape) == 4:
        return (6 / np.prod(shape[1:])) ** 0.5 * draw * (0.05 if "theta" in key or "phi" in key else 1)
    if len(shape) == 2:
        return (3 / shape[1]) ** 0.5 * draw * (0.1 if "fc_spatial" in key else 1)
    offset, spread = {"running_var": (1, 0.5), "weight": (1, 0.2)}.get(key.rpartition(".")[2], (0, 0.1))
    return offset + spread * draw


def filled(network):
    """The network with the golden files' weights, in evaluation mode."""
    state = network.state_dict()
    for position, (key, value) in enumerate(state.items()):
        state[key] = torch.as_tensor(hashed_value(key, tuple(value.shape), position), dtype=value.dtype)
    network.load_state_dict(state)
    return network.eval()


@pytest.fixture(scope="module")
def image():
    return torch.as_tensor(1.5 * hashed(3 * 224 * 224, 1_000_000), dtype=torch.float32).reshape(1, 3, 224, 224)


def test_the_rebuilt_input_is_the_golden_one(golden, image):
    np.testing.assert_array_equal(image.flatten()[:64], golden["input_first64"])
    assert image.double().sum().item() == pytest.approx(float(golden["input_sum"]), rel=1e-9)


@pytest.mark.parametrize("network", [resnet10, resnet152])
@pytest.mark.parametrize(("attention", "fc"), VARIANTS)
def test_state_dicts_have_the_published_names_shapes_and_order(network, attention, fc):
    with torch.device("meta"):
        built = network(attention=attention, fc=fc)
    text = "\n".join(f"{key} {list(value.shape)}" for key, value in built.state_dict().items())
    assert LAYOUTS[f"{network.__name__}_att{int(attention)}_fc{int(fc)}"] == {
        "entries": len(built.state_dict()),
        "parameters": sum(parameter.numel() for parameter in built.parameters()),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert built.feature_dim == (512 if fc or network is resnet10 else 2048)


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def variant(request):
    """The name of a golden case and its network."""
    attention, fc = request.param
    return f"resnet10_att{int(attention)}_fc{int(fc)}", filled(resnet10(attention=attention, fc=fc))


def test_golden_weights_features_and_statistics(golden, image, variant):
    case, network = variant
    drawn = np.concatenate([np.resize(value.flatten()[:2], 2) for value in network.state_dict().values()])
    np.testing.assert_allclose(drawn, golden[f"{case}/weights_first2"], rtol=1e-6, atol=1e-8)
    statistics, handles = {}, []
    for key in (key for key in golden if key.startswith(f"{case}/stat/")):

        def keep(module, inputs, output, key=key):
            statistics[key] = [output.mean().item(), output.std().item(), output.abs().max().item()]

        handles.append(network.get_submodule(key.rpartition("/")[2]).register_forward_hook(keep))
    if network.modulatedatt is not None:  # of whose maps the network itself takes no more than the mean

        def attend(module, inputs, maps):
            network.avgpool(network.modulatedatt(maps))

        handles.append(network.layer4.register_forward_hook(attend))
    with torch.no_grad():
        np.testing.assert_allclose(network(image), golden[f"{case}/features_f32"], rtol=1e-3, atol=1e-4)
    for handle in handles:
        handle.remove()
    assert len(statistics) == 8
    for key, values in statistics.items():
        np.testing.assert_allclose(values, golden[key], rtol=1e-3, atol=1e-4, err_msg=key)


@torch.no_grad()
def test_golden_features_and_attention_maps_in_float64(golden, image, variant):
    case, network = variant
    network, maps = copy.deepcopy(network).double(), []
    network.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output))
    np.testing.assert_allclose(network(image.double()), golden[f"{case}/features_f64"], rtol=1e-7, atol=1e-9)
    if network.modulatedatt is not None:
        spatial, mask = network.modulatedatt.attend(maps[0])
        np.testing.assert_allclose(maps[0].mean((2, 3)), golden[f"{case}/map_x_mean"], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(spatial, golden[f"{case}/map_spatial_att"], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(mask.mean((2, 3)), golden[f"{case}/map_mask_mean"], rtol=1e-6, atol=1e-9)


def test_golden_training_mode_gradients_and_batch_statistics(golden, image):
    network = filled(resnet10(fc=True)).double().train()
    features = network(torch.cat([image, 0.7 * image.flip(3)]).double())
    np.testing.assert_allclose(features.detach(), golden["train_mode/features"], rtol=1e-6, atol=1e-8)
    cotangent = torch.sin(0.9 * torch.arange(features.numel(), dtype=torch.float64)).reshape(features.shape)
    (features * cotangent).sum().backward()
    norms = [parameter.grad.norm().item() for parameter in network.parameters()]
    np.testing.assert_allclose(norms, golden["train_mode/grad_norms"], rtol=1e-5, atol=1e-9)
    first = network.conv1.weight.grad.flatten()[:49]
    np.testing.assert_allclose(first, golden["train_mode/conv1_grad_first"], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(network.bn1.running_mean, golden["train_mode/bn1_running_mean"], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(network.bn1.running_var, golden["train_mode/bn1_running_var"], rtol=1e-7, atol=1e-10)


def test_resnet50_is_torchvisions(image):
    ours = resnet50().eval()
    theirs = torchvision.models.resnet50(weights=None)
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(image[..., :65, :65]), theirs.eval()(image[..., :65, :65]))


@pytest.mark.parametrize(("network", "billions"), [(resnet10, 1.778), (resnet50, 8.176), (resnet152, 23.025)])
def test_arithmetic_of_one_image(network, billions):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(fc=True)(torch.empty(1, 3, 224, 224))
    assert counter.get_total_flops() / 1e9 == pytest.approx(billions, abs=1e-3)


@pytest.mark.parametrize(("image_size", "map_size"), [(33, 2), (96, 3), (224, 7), (225, 8)])
def test_attention_is_sized_from_the_feature_map(image, image_size, map_size):
    network = resnet10(attention=True, image_size=image_size).eval()
    images = torch.nn.functional.interpolate(image, image_size)
    maps = network.layer4(network.layer3(network.layer2(network.layer1(network.maxpool(network.conv1(images))))))
    assert network.modulatedatt.size == map_size == maps.shape[2] == maps.shape[3]
    plain = resnet10().eval()
    plain.load_state_dict({key: value for key, value in network.state_dict().items() if "modulatedatt" not in key})
    torch.testing.assert_close(network(images), plain(images))  # a new attention is the identity


def test_channels_last_changes_nothing(image):
    network = resnet10(attention=True, fc=True, image_size=64).double().train()
    torch.nn.init.normal_(network.modulatedatt.conv_mask.weight)
    images = image[..., :128, :64].double().reshape(2, 3, 64, 64)
    plain = network(images)
    torch.testing.assert_close(
        network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last)), plain
    )


def test_convolutions_start_by_fan_out_and_new_attention_by_fan_in():
    torch.manual_seed(0)
    network = resnet10(attention=True)
    assert network.layer4[0].conv1.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert network.modulatedatt.theta.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert not network.modulatedatt.conv_mask.weight.any()


def test_dropout_works_and_only_in_training(image):
    torch.manual_seed(0)
    network = resnet10(dropout=0.25)
    images = image[..., :64, :64].expand(16, -1, -1, -1)
    dropped = network(images)  # equal images, so what differs is dropout alone
    kept = dropped[dropped != 0]
    assert kept.numel() / dropped.numel() == pytest.approx(0.75, abs=0.02)
    whole = resnet10()
    whole.load_state_dict(network.state_dict())
    torch.testing.assert_close(dropped.max(0).values * 0.75, whole.train()(images)[0], rtol=1e-4, atol=1e-5)
    network.eval()
    torch.testing.assert_close(network(images), network(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1.0}, r"dropout: .* in \[0, 1\), not 1.0"),
        ({"dropout": -0.1}, "dropout: .* not -0.1"),
        ({"image_size": 0}, "image_size: .* not 0"),
    ],
)
def test_options_that_make_no_network(options, message):
    with pytest.raises(UserError, match=message):
        resnet10(**options)


def test_attention_refuses_images_of_another_size(image):
    with pytest.raises(UserError, match="images of 64 x 64, not 64 x 60: set the backbone's image_size"):
        resnet10(attention=True, image_size=64)(image[..., :64, :60])
