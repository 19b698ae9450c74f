"""Losses of a user's own in the published form, in wrappers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.func import functional_call

from oltr.contracts import Outputs, Progress, UserError
from oltr.published.user_file import explained, made

CENTROIDS = "centroids"
"""The parameter of a feature loss that the published code reads as the memory."""


class _Wrapper:
    """A user's own loss, made by ``create_loss`` with the arguments in their order; it must train nothing itself."""

    def __init__(self, *, file: str, arguments: Sequence[Any] = (), sha256: str | None = None) -> None:
        self._file = file
        self._module = made(file, "create_loss", arguments, sha256)
        self._demand_no_parameters()

    def _demand_no_parameters(self) -> None:
        trained = [name for name, parameter in self._module.named_parameters() if parameter.requires_grad]
        others = [name for name in trained if name != CENTROIDS]
        if others:
            raise UserError(
                f"{self._file}: its loss trains {', '.join(others)}; here networks and class centroids train: "
                "make it a child of the classifier, or write a loss of this suite's form"
            )
        if trained:
            raise UserError(
                f"{self._file}: its loss trains {CENTROIDS}: set memory['centroids'] to True for a FeatureLoss, "
                "so that they are the network's memory"
            )

    def _value(self, inputs: Sequence[Any], memory: Tensor | None = None) -> Tensor:
        self._module.to(inputs[0].device)
        with explained(self._file, "its forward(...)"):
            if memory is None:
                found = self._module(*inputs)
            else:
                found = functional_call(self._module, {CENTROIDS: memory}, tuple(inputs))
        if not isinstance(found, Tensor) or found.numel() != 1:
            shown = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise UserError(f"{self._file}: its loss returns {shown}, not one number")
        return found.reshape(())


class PerformanceLoss(_Wrapper):
    """A loss on logits and labels; with ``epoch`` it is told the epoch too, counted from 1."""

    def __init__(
        self, *, file: str, arguments: Sequence[Any] = (), epoch: bool = False, sha256: str | None = None
    ) -> None:
        super().__init__(file=file, arguments=arguments, sha256=sha256)
        self._epoch = epoch

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        told = [progress.epoch + 1] if self._epoch else []
        return self._value([outputs.logits, target, *told])


class FeatureLoss(_Wrapper):
    """A loss on features and labels, without centroids."""

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        return self._value([outputs.features, target])


class CentroidLoss(_Wrapper):
    """A loss on features and labels whose ``centroids`` are the network's memory: its gradients land there."""

    needs_memory: ClassVar[bool] = True

    def __init__(
        self,
        *,
        file: str,
        feature_dim: int,
        num_classes: int,
        arguments: Sequence[Any] = (),
        sha256: str | None = None,
    ) -> None:
        self._shape = (num_classes, feature_dim)
        super().__init__(file=file, arguments=arguments, sha256=sha256)

    def _demand_no_parameters(self) -> None:
        centroids = initial_centroids(self._module, self._file)
        if tuple(centroids.shape) != self._shape:
            raise UserError(f"{self._file}: its centroids are {list(centroids.shape)}, not {list(self._shape)}")
        centroids.requires_grad_(False)  # they are replaced at every call
        super()._demand_no_parameters()

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor:
        if outputs.centroids is None:
            raise UserError(f"{self._file}: the network has no class centroids: add a `memory:` section")
        return self._value([outputs.features, target], outputs.centroids)


def initial_centroids(module: nn.Module, file: str) -> Tensor:
    """The class centroids that a user's own feature loss starts with."""
    centroids = dict(module.named_parameters()).get(CENTROIDS)
    if centroids is None:
        raise UserError(
            f"{file}: its loss has no parameter {CENTROIDS}, which the published code reads as the memory; "
            "add it, or set memory's centroids and init_centroids to False and the loss's optim_params to None"
        )
    return centroids
