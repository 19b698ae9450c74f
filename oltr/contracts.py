"""What the parts of a run say to each other. Importing this imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Union

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

OPEN = -1
"""Label of an image whose class was never trained on."""


class UserError(Exception):
    """A mistake of the user's, said in one line: what, where, and the nearest right answer (exit code 2)."""


class RunError(Exception):
    """A run that cannot go on though its config was right: a loss that is not finite, a full disk (exit code 1)."""


class Silence(Exception):  # noqa: N818 - no error of this process
    """Another process of the job has failed and says why; this one ends without a word, with the same exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a stage stands: ``epoch`` counts from 0 and is less than ``epochs``."""

    epoch: int
    epochs: int

    @property
    def fraction(self) -> float:
        """0 in the first epoch, 1 in the last; 0 where there is only one."""
        return self.epoch / (self.epochs - 1) if self.epochs > 1 else 0.0

    def cycle(self, factor: float) -> float:
        """The cyclical coefficient eta: 1 in the first epoch, 0 at ``1 / factor`` of the way, 1 in the last.

        With ``factor`` 1 it falls to 0 and stays there. Always within [0, 1] (Smith, 2022).
        """
        if factor < 1:
            raise UserError(f"a cycle's factor is at least 1, not {factor:g}")
        turn = factor * self.fraction
        if turn <= 1:
            return 1.0 - turn
        return min(1.0, (turn - 1.0) / (factor - 1.0)) if factor > 1 else 0.0


class Schedule(Protocol):
    """A scalar as a pure function of progress."""

    def __call__(self, progress: Progress) -> float: ...


Scalar = Union[float, Schedule]  # noqa: UP007 - evaluated at run time, read by the option check
"""A number, or a schedule of one: every scalar a user may set is one of these."""


def at(scalar: Scalar, progress: Progress) -> float:
    """The value of ``scalar`` at ``progress``."""
    return scalar(progress) if callable(scalar) else float(scalar)


class Outputs(NamedTuple):
    """What a network says of a batch; losses and scorers read this and nothing else of the network."""

    features: Tensor  # [B, D]
    logits: Tensor  # [B, C]
    centroids: Tensor | None = None  # [C, D]


class Loss(Protocol):
    """A scalar to minimise. ``target`` holds class indices [B], or probabilities [B, C] where a loss allows it.

    A loss that is a mean of what each image costs by itself says so by ``mean_over_images = True``: then a batch can be
    worked on in parts at no extra cost.
    """

    def __call__(self, outputs: Outputs, target: Tensor, progress: Progress) -> Tensor: ...


class Head(NamedTuple):
    """The last layer of a network, as far as it is linear: logits = features @ weight.T + bias."""

    weight: Tensor  # [C, E]
    bias: Tensor  # [C]


class Scorer(Protocol):
    """How unlike any known class each sample looks, [B]: higher is more unknown.

    What else it needs of the stored predictions, a scorer says by attributes, and is left out, with the reason, where
    that is not there: ``needs_centroids = True`` for ``outputs.centroids``, ``needs_head = True`` for the last layer:
    then ``outputs.features`` are what that layer acts on. One that has a method ``fit(known: Known) -> None`` is fitted
    once before it scores, and says ``needs_train = True`` or ``needs_val = True`` for the sets it reads there.
    """

    def __call__(self, outputs: Outputs) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a scorer may be fitted on: images of known classes, none of them of the test set, and the network's head."""

    train: Callable[[], Iterator[tuple[Outputs, Tensor]]]
    """Outputs and labels of the training images, as the test transform shows them, block by block; anew each call."""
    val: Callable[[], Iterator[tuple[Outputs, Tensor]]]
    """The same of the validation images."""
    centroids: Tensor | None = None  # [C, D]
    head: Head | None = None


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a threshold rule sees of one scorer: images that are not of the test set."""

    scorer: str
    """Its name in the config."""
    scores: NDArray[np.floating[Any]]  # [N], of the known validation images; empty without any
    labels: NDArray[np.int64]  # [N]
    predictions: NDArray[np.int64]  # [N]
    open_scores: NDArray[np.floating[Any]] | None  # [M], of the open validation set, where there is one
    train_counts: NDArray[np.int64]  # [C]
    groups: Mapping[str, NDArray[np.bool_]]
    """Shot groups: a mask over the classes, [C], by name."""


class Threshold(Protocol):
    """A rule that says from which score on an image is rejected; it never sees the test set."""

    label: str
    """A short name for it in reports, options included, such as known_acceptance_0.95."""
    rule: str
    """What it does, in words, for people."""

    def __call__(self, held_out: HeldOut) -> float | NDArray[np.float64] | None:
        """The threshold, or one for each predicted class, [C]; an image that scores above it is rejected.

        None where the rule is not meant for this scorer; UserError where it lacks what it is set on.
        """
        ...


class NetworkScorer(Protocol):
    """A scorer that has to run the network itself, as one that needs the gradient at the image does.

    It says ``needs_network = True``. Its scores are computed while the predictions are made, and stored with them.
    """

    def score(self, forward: Callable[[Tensor], Outputs], images: Tensor) -> Tensor:
        """One number an image, [B]: higher is more unknown. ``images`` are the network's input [B, 3, H, W]."""
        ...


class Transform(Protocol):
    """How stored images become a network's input: shapes in the worker, arithmetic on the batch.

    One that has a method ``compile()`` is told by it to compile its arithmetic, where the config wants that.
    """

    def image(self, image: Tensor) -> Tensor:
        """One uint8 image [3, h, w] brought to the size of the batch, uint8 [3, H, W].

        Its draws come from torch's global generator, which the loader seeds for each batch.
        """
        ...

    def batch(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A uint8 batch [B, 3, H, W], on its device, as the float32 input. ``generator`` lives on the CPU."""
        ...


class Sampler(Protocol):
    """The order of the training images, epoch by epoch; its state resumes the sequence exactly."""

    def indices(self, progress: Progress) -> Tensor:
        """The indices of this epoch's images, int64 [n]; called once per epoch, in order."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a stage begins with: the best weights of the stage before, and what it may ask of the data."""

    state: Mapping[str, Tensor] | None
    """State dict of the predecessor's pair, or None where there is no predecessor."""
    class_means: Callable[[], Tensor]
    """Means of the backbone's features over the plain training set, [C, D]; one pass of the network as it now is."""
    source: str = "the stage before"
    """Where ``state`` is from, in messages."""
