"""Checks of scorers that run the network themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from oltr.contracts import Outputs
from oltr.testing.subject import Subject, copied, unchanged

COLOURS = 3
SIZE = 4


class Colours(nn.Module):
    """A small network at rest that knows a class by its colour; further classes it never sees."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(COLOURS, 4, 1)
        self.classifier = nn.Linear(4, num_classes)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.eye(4, COLOURS)[:, :, None, None])
            self.classifier.weight.copy_(20 * torch.eye(num_classes, 4))
            for bias in (self.convolution.bias, self.classifier.bias):
                if bias is not None:
                    bias.zero_()
        self.eval()

    def forward(self, images: Tensor) -> Outputs:
        features = self.convolution(images).relu().mean(dim=(2, 3))
        return Outputs(features, self.classifier(features))


def check_network_scorer(subject: Subject, num_classes: int) -> None:
    """One finite number an image, also where the caller wants no gradients; the network stays as it was."""
    for classes in (num_classes, 1):
        scorer = subject.build(num_classes=classes, train_counts=torch.arange(classes, 0, -1).numpy())
        network = Colours(classes)
        for case, images in _images().items():
            _check_scores(subject, scorer, network, images, f"{case}, {classes} classes")
    scorer = subject.build(num_classes=num_classes, train_counts=torch.arange(num_classes, 0, -1).numpy())
    network, cases = Colours(num_classes), _images()
    clear, doubtful = (float(scorer.score(network, cases[case]).mean()) for case in ("clear images", "black images"))
    subject.demand(
        doubtful > clear or num_classes == 1,
        f"higher means more unknown: {clear:g} on average for clear images, {doubtful:g} for images of no class",
    )


def _images() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    clear = torch.rand(5, COLOURS, SIZE, SIZE, generator=generator) / 10
    clear[:, 0] += 1
    return {
        "clear images": clear,
        "black images": torch.zeros_like(clear),
        "random images": torch.randn(clear.shape, generator=generator),
        "images of 1e3": 1e3 * clear,
        "one image": clear[:1],
    }


def _check_scores(subject: Subject, scorer: Any, network: Colours, images: Tensor, case: str) -> None:
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    given = (images, *network.parameters(), *(parameter.grad for parameter in network.parameters()))
    before = copied(*given)
    with torch.no_grad():
        scores = subject.call(case, scorer.score, network, images)
        again = scorer.score(network, images)
        alone = torch.cat([scorer.score(network, images[[row]]) for row in range(len(images))])
    shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    subject.demand(shape == (len(images),), f"{case}: one number an image, [{len(images)}], not {shape}")
    subject.demand_finite(scores, f"{case}: its scores are")
    subject.demand(unchanged(before, *given), f"{case}: it writes to the images, the network or its gradients")
    demanding = images.requires_grad or scores.requires_grad
    subject.demand(not demanding, f"{case}: it leaves images or scores that ask for gradients")
    subject.demand(not network.training, f"{case}: it changes the network's mode")
    subject.demand(torch.equal(scores, again), f"{case}: the same images have other scores")
    subject.demand_close(alone, scores, f"{case}: an image's score depends on the rest of the batch")
