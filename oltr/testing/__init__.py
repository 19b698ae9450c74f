"""The conformance kit for authors of parts: a part that breaks a promise is an AssertionError of one line.

Called from a test of the part's own package; nothing here needs pytest. A part is given as its class or function, or
by the name under which it is installed.
"""

from oltr.testing.functions import check_loss, check_schedule
from oltr.testing.images import check_dataset, check_sampler, check_transform
from oltr.testing.networks import check_backbone, check_classifier
from oltr.testing.scorers import check_scorer
from oltr.testing.thresholds import check_threshold

__all__ = [
    "check_backbone",
    "check_classifier",
    "check_dataset",
    "check_loss",
    "check_sampler",
    "check_schedule",
    "check_scorer",
    "check_threshold",
    "check_transform",
]
