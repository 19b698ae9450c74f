"""Simplified Hopfield energy."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs
from oltr.scorers.training_images import predicted, training_images, unfitted


class SimplifiedHopfield:
    """The inner product of a feature with the stored pattern of its predicted class, negated, [B] (Zhang et al., 2023).

    The pattern is the mean feature of the class's training images that the network classifies correctly; where there
    is none, of all its training images; where it has none at all, of all training images of all classes.
    """

    needs_train = True

    def __init__(self) -> None:
        self._patterns: Tensor | None = None

    def fit(self, known: Known) -> None:
        sums, counts = torch.zeros(0, 0, 0), torch.zeros(0)  # of correct images [0] and of all [1], by class
        for outputs, labels in training_images(known, "she"):
            features, classes = outputs.features.double(), outputs.logits.shape[1]
            if not counts.numel():
                sums, counts = features.new_zeros(2, classes, features.shape[1]), features.new_zeros(2, classes)
            correct = predicted(outputs) == labels
            for kind, rows in enumerate((correct, torch.ones_like(correct))):
                sums[kind].index_add_(0, labels[rows], features[rows])
                counts[kind] += torch.bincount(labels[rows], minlength=classes)
        of_correct, of_class = sums / counts.clamp(min=1).unsqueeze(2)
        of_all = sums[1].sum(dim=0) / counts[1].sum()
        of_class = torch.where(counts[1].unsqueeze(1) > 0, of_class, of_all)
        self._patterns = torch.where(counts[0].unsqueeze(1) > 0, of_correct, of_class)

    def __call__(self, outputs: Outputs) -> Tensor:
        if self._patterns is None:
            raise unfitted("she")
        return -(outputs.features.double() * self._patterns[predicted(outputs)]).sum(dim=1)
