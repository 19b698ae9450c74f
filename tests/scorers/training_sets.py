"""Training sets that scorers are fitted on in tests, in blocks as the store gives them."""

import numpy as np
import torch

from oltr.contracts import Head, Known, Outputs


def known(features, labels, *, classes, head=None, logits=None, rows=7, dtype=torch.float64):
    """``features`` and ``labels`` as a scorer is given them; logits are the head's, or 0 where nobody asks."""
    features, labels = torch.as_tensor(features, dtype=dtype), torch.as_tensor(labels, dtype=torch.int64)
    weight, bias = (torch.zeros(classes, features.shape[1]), torch.zeros(classes)) if head is None else head
    head = Head(torch.as_tensor(weight, dtype=dtype), torch.as_tensor(bias, dtype=dtype))
    logits = features @ head.weight.T + head.bias if logits is None else torch.as_tensor(logits, dtype=dtype)

    def train():
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            yield Outputs(features[part], logits[part]), labels[part]

    return Known(train=train, val=lambda: iter(()), head=head)


def scores(scorer, features, *, head=None, classes=1, logits=None, dtype=torch.float64):
    """What a fitted scorer says of ``features``."""
    features = torch.as_tensor(features, dtype=dtype)
    if logits is None:
        weight, bias = (np.zeros((classes, features.shape[1])), np.zeros(classes)) if head is None else head
        logits = features @ torch.as_tensor(weight, dtype=dtype).T + torch.as_tensor(bias, dtype=dtype)
    return scorer(Outputs(features, torch.as_tensor(logits, dtype=dtype))).numpy()


def long_tail(seed, counts, dimensions, *, offset=0.0):
    """Features about class means, and their labels in random order; each class has a spread of its own."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    means = offset + 3 * generator.normal(size=(len(counts), dimensions))
    spreads = generator.uniform(0.5, 2, size=(len(counts), dimensions))
    mixing = generator.normal(size=(dimensions, dimensions)) / dimensions**0.5
    return means[labels] + (spreads[labels] * generator.normal(size=(len(labels), dimensions))) @ mixing, labels
