"""Modulated attention against golden numbers and against a loop over positions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from oltr.contracts import UserError
from oltr.networks.modulated_attention import ModulatedAttention


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "oltr_modules.npz") as arrays:
        return {
            key.removeprefix("att/"): torch.tensor(value) for key, value in arrays.items() if key.startswith("att/")
        }


def test_golden_output_maps_and_gradients(golden):
    attention = ModulatedAttention(channels=8, size=7).double()
    attention.load_state_dict({key: golden[key].double() for key in attention.state_dict()})
    maps = golden["x"].double().requires_grad_()
    output = attention(maps)
    spatial, mask = attention.attend(maps)
    np.testing.assert_allclose(output.detach(), golden["output"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spatial.detach(), golden["map_spatial_att"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mask.detach(), golden["map_mask"], rtol=1e-9, atol=1e-12)
    output.backward(golden["cotangent"].double())
    np.testing.assert_allclose(maps.grad, golden["grad_x"], rtol=1e-8, atol=1e-12)
    for key, parameter in attention.named_parameters():
        if key == "fc_spatial.weight":
            known = golden["grad/fc_spatial.weight[:, ::7]"]
            np.testing.assert_allclose(parameter.grad[:, ::7], known, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_allclose(parameter.grad, golden[f"grad/{key}"], rtol=1e-8, atol=1e-11, err_msg=key)


def test_equals_a_loop_over_positions_at_another_size():
    torch.manual_seed(0)
    attention = ModulatedAttention(channels=4, size=3).double()
    torch.nn.init.normal_(attention.conv_mask.weight)
    maps = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    weights = {key: value.squeeze() for key, value in attention.state_dict().items()}
    with torch.no_grad():
        result = attention(maps)
    for image, got in zip(maps, result, strict=True):
        pixels = [image[:, row, column] for row in range(3) for column in range(3)]
        look = torch.softmax(weights["fc_spatial.weight"] @ image.flatten() + weights["fc_spatial.bias"], 0)
        for place, pixel in enumerate(pixels):
            query = weights["theta.weight"] @ pixel + weights["theta.bias"]
            similar = torch.stack([query @ (weights["phi.weight"] @ other + weights["phi.bias"]) for other in pixels])
            shares = torch.softmax(similar, 0)
            seen = sum(
                s * (weights["g.weight"] @ other + weights["g.bias"]) for s, other in zip(shares, pixels, strict=True)
            )
            expected = pixel + look[place] * (weights["conv_mask.weight"] @ seen)
            torch.testing.assert_close(got[:, place // 3, place % 3], expected)


def test_a_map_of_another_size_is_refused():
    with pytest.raises(UserError, match="sized for 3 x 3 maps, not 3 x 4"):
        ModulatedAttention(channels=4, size=3)(torch.zeros(1, 4, 3, 4))


@pytest.mark.parametrize("size", [1, 3])
def test_the_mean_is_that_of_the_whole_output_and_so_are_its_gradients(size):
    torch.manual_seed(0)
    attention = ModulatedAttention(channels=6, size=size).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    maps = torch.randn(4, 6, size, size, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(4, 6, dtype=torch.float64)
    found = []
    for pooled in (attention.mean(maps), attention(maps).mean((2, 3))):
        gradients = torch.autograd.grad((pooled * cotangent).sum(), (maps, *attention.parameters()))
        found.append((pooled, *gradients))
    for name, fast, plain in zip(("mean", "maps", *attention.state_dict()), *found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def test_the_mean_refuses_a_map_of_another_size_too():
    with pytest.raises(UserError, match="sized for 3 x 3 maps, not 3 x 4"):
        ModulatedAttention(channels=4, size=3).mean(torch.zeros(1, 4, 3, 4))
