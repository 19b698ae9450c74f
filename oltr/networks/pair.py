"""The network of a run: a backbone, a classifier, and where a stage wants one, a memory of class centroids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from oltr.contracts import Outputs, UserError

if TYPE_CHECKING:
    from typing_extensions import Self


class Memory(nn.Module):
    """One centroid per class, [C, D]: trained by the losses alone, read by the classifier."""

    def __init__(self, *, num_classes: int, feature_dim: int) -> None:
        super().__init__()
        self.centroids = nn.Parameter(torch.zeros(num_classes, feature_dim))


class NetworkPair(nn.Module):
    """Images in, ``Outputs`` out. The classifier sees the memory's values; only losses pass it gradients."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module, memory: Memory | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.memory = memory
        self.autocast_to: torch.dtype | None = None
        self.channels_last = False
        self.in_graphs = False
        self._resting: list[nn.Module] = []

    def train_only(self, part: str, children: Sequence[str], *, rest: bool = True) -> None:
        """Freeze all of ``part`` but the named children: no gradients, and where they ``rest``, no new statistics."""
        module = getattr(self, part)
        known = dict(module.named_children())
        for name in children:
            if name not in known:
                raise UserError(f"{part}.only: the network has no child {name!r}; it has: {', '.join(known)}")
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        for name, child in known.items():
            if name not in children:
                child.requires_grad_(False)
                if rest:
                    self._resting.append(child)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self._resting:
            module.eval()
        return self

    def embed(self, images: Tensor, centroids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, D] and logits [B, C], never in half precision: the part of the work that is split over devices.

        ``centroids`` are the memory's, where they come from elsewhere.
        """
        features = self._raised(self.lowered(self.backbone, images))
        if centroids is None and self.memory is not None:
            centroids = self.memory.centroids.detach()
        # In half precision it trains; what is evaluated has all its digits, as open-set scores lie close together.
        lower = self.classifier.training and not getattr(self.classifier, "needs_float32", False)
        with self._autocast(features.device, lower=lower):
            return features, self._raised(self.classifier(features, centroids))

    def lowered(self, work: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What ``work``, the backbone or a part of it, makes of images in the precision and layout chosen for it."""
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        try:
            return self._worked(work, images)
        except RuntimeError as error:
            if self.channels_last and "view size is not compatible" in str(error):
                raise UserError(
                    "backbone: it calls view on maps that lie channels-last in memory; "
                    "flatten and reshape can do with it, or write compute.channels_last: false"
                ) from error
            raise

    def _worked(self, work: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with self._autocast(images.device):
            if not self.in_graphs:
                return work(images)
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return work(images).clone()  # the next step writes over what lies in the memory of the graphs

    def _autocast(self, device: torch.device, *, lower: bool = True) -> torch.autocast:
        lower = lower and self.autocast_to is not None
        return torch.autocast(device.type, dtype=self.autocast_to or torch.bfloat16, enabled=lower)

    def _raised(self, values: Tensor) -> Tensor:
        return values.float() if values.dtype == self.autocast_to else values

    def compute_in(self, autocast_to: torch.dtype | None, *, channels_last: bool) -> None:
        """Choose the arithmetic: a half precision by autocast, or none; and the layout of the backbone's maps.

        A classifier has it in training alone, and not where it says ``needs_float32``.
        """
        self.autocast_to, self.channels_last = autocast_to, channels_last
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)

    def outputs(self, features: Tensor, logits: Tensor) -> Outputs:
        return Outputs(features, logits, None if self.memory is None else self.memory.centroids)

    def forward(self, images: Tensor) -> Outputs:
        return self.outputs(*self.embed(images))

    def __call__(self, *args: Any, **kwargs: Any) -> Outputs:
        outputs: Outputs = super().__call__(*args, **kwargs)
        return outputs
