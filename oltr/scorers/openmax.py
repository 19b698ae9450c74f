"""OpenMax."""

from __future__ import annotations

import torch
from torch import Tensor

from oltr.contracts import Known, Outputs, UserError
from oltr.scorers.in_blocks import in_blocks
from oltr.scorers.precision import at_least_single
from oltr.scorers.weibull import Weibull, fitted


class OpenMax:
    """The log-odds of OpenMax's unknown class, [B]: they rank as its probability does (Bendale and Boult, 2016).

    Each of an image's ``alpha`` largest logits gives up a share to the unknown class: its weight by rank, from 1 down
    to 1 / alpha, times the Weibull probability of the image's distance to the mean logits of that class's correctly
    classified training images. The distribution is that of their ``tail`` largest distances.

    A class with fewer than ``least_images`` correct images shares a distribution, fitted to the tails of all others
    together; one with none has the mean of all its images; one without any training image gives up its logit wholly.
    """

    needs_train = True

    def __init__(self, *, alpha: int = 10, tail: int = 20, least_images: int = 5) -> None:
        for option, value, least in (("alpha", alpha, 1), ("tail", tail, 2), ("least_images", least_images, 2)):
            if value < least:
                raise UserError(f"openmax: {option} is at least {least}, not {value}")
        self.alpha = alpha
        self.tail = tail
        self.least_images = least_images
        self.means = torch.empty(0, 0)  # [C, C]
        self.seen = torch.empty(0, dtype=torch.bool)  # [C]
        self.distances = Weibull(torch.empty(0), torch.empty(0))

    def fit(self, known: Known) -> None:
        self.means, correct, self.seen = _means(known)
        tails = self._tails(known, correct)
        alone = correct >= self.least_images
        pooled = tails[alone] if alone.any() else tails
        own, shared = fitted(tails), fitted(pooled.reshape(1, -1))
        self.distances = Weibull(
            own.shape.where(alone, shared.shape),
            own.log_scale.where(alone, shared.log_scale),
        )

    def _tails(self, known: Known, correct: Tensor) -> Tensor:
        """The largest distances of each class's images to its mean, [C, tail]; NaN where there are fewer."""
        found = []
        for outputs, labels in known.train():
            counted = (outputs.logits.argmax(dim=1) == labels) | (correct[labels] == 0)
            logits, classes = outputs.logits[counted].double(), labels[counted]
            found.append((torch.linalg.vector_norm(logits - self.means[classes], dim=1), classes))
        distances, classes = (torch.cat(column) for column in zip(*found, strict=True))
        order = distances.argsort(descending=True, stable=True)
        order = order[classes[order].argsort(stable=True)]
        counts = classes.bincount(minlength=len(self.means))
        rank = torch.arange(len(order)).to(counts) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        kept = rank < self.tail
        tails = torch.full((len(self.means), self.tail), torch.nan, dtype=torch.float64, device=self.means.device)
        tails[classes[order][kept], rank[kept]] = distances[order][kept]
        return tails

    def __call__(self, outputs: Outputs) -> Tensor:
        if not len(self.means):
            raise UserError("openmax: fit it before it scores")
        return in_blocks(self._score, outputs.logits)

    def _score(self, logits: Tensor) -> Tensor:
        logits = at_least_single(logits)
        means = self.means.to(logits)
        alpha = min(self.alpha, logits.shape[1])
        values, classes = logits.topk(alpha, dim=1)
        revised, unknown = logits.clone(), logits.new_zeros(len(logits))
        for rank in range(alpha):
            of_rank = classes[:, rank]
            outlying = self.distances.cumulative(torch.linalg.vector_norm(logits - means[of_rank], dim=1), of_rank)
            share = (alpha - rank) / alpha * outlying.where(self.seen[of_rank], 1)
            unknown += values[:, rank] * share
            revised.scatter_(1, of_rank.unsqueeze(1), (values[:, rank] * (1 - share)).unsqueeze(1))
        return unknown - revised.logsumexp(dim=1)


def _means(known: Known) -> tuple[Tensor, Tensor, Tensor]:
    """Mean logits of each class [C, C], how many images are classified rightly [C], and whether it has any [C]."""
    sums: Tensor | None = None
    for outputs, labels in known.train():
        logits = outputs.logits.double()
        classes = logits.shape[1]
        if sums is None:
            sums = logits.new_zeros(2, classes, classes)
            counts = labels.new_zeros(2, classes)
        right = logits.argmax(dim=1) == labels
        for row, chosen in enumerate((right, ~right)):
            sums[row].index_add_(0, labels[chosen], logits[chosen])
            counts[row] += labels[chosen].bincount(minlength=classes)
    if sums is None or not counts.any():
        raise UserError("openmax is fitted on training images, and there are none; energy works without")
    of = (counts[0] == 0).long()  # rightly classified images where there are any, the others otherwise
    rows = torch.arange(len(of)).to(of)
    return sums[of, rows] / counts[of, rows].clamp(min=1).unsqueeze(1), counts[0], counts.sum(dim=0) > 0
