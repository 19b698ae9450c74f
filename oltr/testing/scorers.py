"""Checks of scorers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from oltr.contracts import Outputs, UserError
from oltr.plugins import SCORERS
from oltr.testing.batches import batches
from oltr.testing.network_scorers import check_network_scorer
from oltr.testing.subject import Subject, copied, unchanged
from oltr.testing.worlds import World, hard, usual

USUAL = "usual images"


def check_scorer(
    part: str | Callable[..., Any],
    *,
    options: Mapping[str, Any] | None = None,
    num_classes: int = 5,
    feature_dim: int = 8,
) -> None:
    """A scorer gives one finite number an image, whatever the batch, higher for doubtful images than for clear ones.

    It is fitted as a run does it, on a long tail of training images: twice gives the same scores, in whatever blocks
    they come. Where something is missing (classes with one training image, none, or none classified rightly; fewer
    images than dimensions, constant features, one class, no image at all) it may refuse instead, by a UserError of one
    line. It is given what it says it needs (``needs_centroids``, ``needs_head``, ``needs_train``, ``needs_val``), and
    nothing else. One that says ``needs_network`` is checked on a small network.
    """
    subject = Subject(SCORERS, part, options)
    place = usual(num_classes, feature_dim)
    if getattr(_built(subject, place), "needs_network", False):
        check_network_scorer(subject, num_classes)
        return
    scorer = _fitted(subject, place, USUAL)
    _check_case(subject, scorer, place, USUAL)
    _check_order(subject, scorer, place)
    _check_fit(subject, place)
    for case, world in hard(num_classes, feature_dim):
        scorer = _or_refused(subject, case, _fitted, world, case)
        if scorer is not None:
            _check_case(subject, scorer, world, case)


def _built(subject: Subject, world: World) -> Any:
    return subject.build(num_classes=len(world.counts), train_counts=world.train_counts)


def _fitted(subject: Subject, world: World, case: str, *, rows: int = 50) -> Any:
    """The part as it scores in a run, which fits it where it can be fitted; what it is fitted on stays as it was."""
    scorer = _built(subject, world)
    if hasattr(scorer, "fit"):
        given = (world.train, world.val, *world.head, world.means)
        before = copied(*given)
        subject.call(f"{case}: fit", scorer.fit, world.known(scorer, rows=rows))
        subject.demand(unchanged(before, *given), f"{case}: fit writes to what it is given")
    return scorer


def _or_refused(subject: Subject, case: str, attempt: Callable[..., Any], *arguments: Any) -> Any:
    """What ``attempt`` returns, or None where the part says in one line why it cannot."""
    try:
        return attempt(subject, *arguments)
    except AssertionError as fault:
        if not isinstance(fault.__cause__, UserError):
            raise
        lines = str(fault.__cause__).splitlines()
        subject.demand(len(lines) == 1, f"{case}: a UserError is one line, not {len(lines)}")
        return None


def _queries(scorer: Any, world: World) -> Iterator[tuple[str, Outputs]]:
    """Images to score: like and unlike the known ones, and as extreme as outputs may be."""
    with_centroids = bool(getattr(scorer, "needs_centroids", False)) and not getattr(scorer, "needs_head", False)
    yield "known images", world.outputs(world.clear[:6], with_centroids)
    yield "far images", world.outputs(world.far[:6], with_centroids)
    yield "features of 0", world.outputs(torch.zeros_like(world.far[:2]), with_centroids)
    yield "features of 1e4", world.outputs(1e4 * world.far[:2].sign(), with_centroids)
    num_classes, feature_dim = world.means.shape
    yield from batches(num_classes, feature_dim, with_centroids)


def _check_case(subject: Subject, scorer: Any, world: World, case: str) -> None:
    for query, outputs in _queries(scorer, world):
        when = f"{case}, {query}"
        if case == USUAL:
            _check_scores(subject, scorer, outputs, when)
        else:
            _or_refused(subject, when, _check_scores, scorer, outputs, when)


def _check_scores(subject: Subject, scorer: Any, outputs: Outputs, case: str) -> None:
    before = copied(*outputs)
    scores = subject.call(case, scorer, outputs)
    shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    count = len(outputs.logits)
    subject.demand(shape == (count,), f"{case}: one number an image, [{count}], not {shape}")
    subject.demand_finite(scores, f"{case}: its scores are")
    subject.demand(unchanged(before, *outputs), f"{case}: it writes to its input")
    single = (Outputs(outputs.features[[row]], outputs.logits[[row]], outputs.centroids) for row in range(count))
    alone = [subject.call(f"{case}, alone", scorer, image) for image in single]
    subject.demand_close(torch.cat(alone), scores, f"{case}: an image's score depends on the rest of the batch")


def _check_order(subject: Subject, scorer: Any, world: World) -> None:
    scores = subject.call(USUAL, _clear_and_far, scorer, world)
    clear, doubtful = (float(found.double().mean()) for found in scores)
    subject.demand(
        doubtful > clear or len(world.counts) == 1,  # logits of one class tell nothing
        f"higher means more unknown: {clear:g} on average for clear images, {doubtful:g} for images of no class",
    )


def _check_fit(subject: Subject, world: World) -> None:
    """Fitting is a function of the images alone."""
    if not hasattr(_built(subject, world), "fit"):
        return
    scorer = _fitted(subject, world, USUAL)
    first = torch.cat(_clear_and_far(scorer, world))
    subject.call(f"{USUAL}: fit again", scorer.fit, world.known(scorer))
    subject.demand(torch.equal(torch.cat(_clear_and_far(scorer, world)), first), "fitted twice its scores differ")
    other = torch.cat(_clear_and_far(_fitted(subject, world, USUAL), world))
    subject.demand(torch.equal(other, first), "two of the same options, fitted on the same images, differ")
    blocks = torch.cat(_clear_and_far(_fitted(subject, world, USUAL, rows=7), world))
    subject.demand_close(blocks, first, "its fit depends on the blocks that images come in", tolerance=1e-3)


def _clear_and_far(scorer: Any, world: World) -> tuple[Tensor, Tensor]:
    with_centroids = bool(getattr(scorer, "needs_centroids", False)) and not getattr(scorer, "needs_head", False)
    return scorer(world.outputs(world.clear, with_centroids)), scorer(world.outputs(world.far, with_centroids))
