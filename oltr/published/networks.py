"""Networks of the published code's form: ours with its initial weights, and a user's own in wrappers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from oltr import plugins
from oltr.checkpoint import random_state, set_random_state
from oltr.contracts import UserError
from oltr.networks.modulated_attention import ModulatedAttention
from oltr.published.user_file import explained, made

TRAINED_WHEN_FIXED = ("modulatedatt", "fc")
"""What the name of a weight has in it that the published ``fix`` leaves trainable."""


def attentive(*, architecture: str, fc: bool = False, image_size: int = 224) -> nn.Module:
    """The backbone ``architecture`` with attention whose convolutions all start at random.

    The published constructor draws every convolution anew, the attention's last one too, which had been zero: there a
    new attention is not the identity. Keys of the state dict are those of the backbone.
    """
    options = {"attention": True, "fc": fc}
    backbone: nn.Module = plugins.BACKBONES.build(architecture, options, image_size=image_size)
    for attention in (found for found in backbone.modules() if isinstance(found, ModulatedAttention)):
        for convolution in (found for found in attention.modules() if isinstance(found, nn.Conv2d)):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return backbone


class _Wrapper(nn.Module):
    """A user's own network as the child ``module``, made in test mode, so that it loads nothing yet.

    ``arguments`` go in by their order, as published; ``fix`` freezes weights by their names, and BatchNorm's statistics
    move on.
    """

    def __init__(
        self, *, file: str, arguments: Sequence[Any] = (), fix: bool = False, sha256: str | None = None
    ) -> None:
        super().__init__()
        self._file, self._arguments, self._sha256 = file, tuple(arguments), sha256
        self.module = self._made(test_mode=True)
        if fix:
            for name, parameter in self.module.named_parameters():
                if not any(word in name for word in TRAINED_WHEN_FIXED):
                    parameter.requires_grad_(False)

    def load_as_published(self) -> int:
        """Take over what the user's own code loads out of test mode; the number of tensors that it changed.

        The network is made twice from one state of the random numbers, without and with loading: where the two are
        equal nothing was loaded, and the weights that are here stay.
        """
        before, own = random_state(), self.module.state_dict()
        plain = self._made(test_mode=True).state_dict()
        set_random_state(before)
        loaded = self._made(test_mode=False).state_dict()
        set_random_state(before)
        if loaded.keys() != own.keys() or any(loaded[key].shape != own[key].shape for key in own):
            raise UserError(f"{self._file}: its network has other weights in test mode than out of it; make them equal")
        changed = [key for key in own if not torch.equal(loaded[key].cpu(), plain[key].cpu())]
        for key in changed:
            own[key].copy_(loaded[key])
        return len(changed)

    def _made(self, *, test_mode: bool) -> nn.Module:
        return made(self._file, "create_model", [*self._arguments, test_mode], self._sha256)

    def _first(self, *inputs: Tensor | None, what: str, width: int) -> Tensor:
        """What the network gives first, which must be [B, width]."""
        with explained(self._file, "its forward(...)"):
            found = self.module(*inputs)
        first = found[0] if isinstance(found, tuple | list) and found else found
        images = len(inputs[0]) if inputs[0] is not None else 0
        if not isinstance(first, Tensor) or first.shape != (images, width):
            shown = list(first.shape) if isinstance(first, Tensor) else f"a {type(first).__name__}"
            raise UserError(
                f"{self._file}: forward returns {shown} as {what} of {images} images, not [{images}, {width}]"
            )
        return first


class Backbone(_Wrapper):
    """A user's own feature network: images in, features [B, feature_dim] first of what comes out."""

    def __init__(
        self,
        *,
        file: str,
        feature_dim: int,
        arguments: Sequence[Any] = (),
        fix: bool = False,
        sha256: str | None = None,
    ) -> None:
        super().__init__(file=file, arguments=arguments, fix=fix, sha256=sha256)
        self.feature_dim = feature_dim

    def forward(self, images: Tensor) -> Tensor:
        return self._first(images, what="features", width=self.feature_dim)


class Classifier(_Wrapper):
    """A user's own classifier: features and None in, logits [B, C] first of what comes out."""

    needs_float32: ClassVar[bool] = True  # for which it was written

    def __init__(
        self,
        *,
        file: str,
        num_classes: int,
        arguments: Sequence[Any] = (),
        fix: bool = False,
        sha256: str | None = None,
    ) -> None:
        super().__init__(file=file, arguments=arguments, fix=fix, sha256=sha256)
        self._num_classes = num_classes

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return self._first(features, None, what="logits", width=self._num_classes)


class MemoryClassifier(Classifier):
    """A user's own classifier that reads the memory: features and centroids [C, D] in."""

    needs_memory: ClassVar[bool] = True

    def forward(self, features: Tensor, centroids: Tensor | None = None) -> Tensor:
        return self._first(features, centroids, what="logits", width=self._num_classes)
