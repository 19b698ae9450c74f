"""How many processes read images where the config leaves it open: ``workers: null``."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from oltr.cores import usable_cores
from oltr.data.split import ImageSet

SMALL = 3 * 64 * 64
"""Bytes of an image up to which reading and shaping it costs less than handing it over from another process."""
MOST = 16


def workers_for(images: ImageSet, device: torch.device, environment: Mapping[str, str] = os.environ) -> int:
    """None where the network computes on a CPU, whose cores are taken, and for small images.

    Beside a GPU as many as there are cores, less one for the process that feeds it; torchrun's processes share them.
    """
    if device.type != "cuda" or not len(images.labels) or images.read([0])[0].numel() <= SMALL:
        return 0
    cores = usable_cores() // max(1, int(environment.get("LOCAL_WORLD_SIZE", "1")))
    return max(1, min(MOST, cores) - 1)
