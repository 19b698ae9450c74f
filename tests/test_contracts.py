"""Progress and its cycle against published numbers; what a scalar is."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oltr.contracts import Progress, UserError, at

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "cfl_schedules.npz"))
EPOCHS, FACTORS = st.integers(1, 300), st.floats(1, 50) | st.sampled_from([1.0, 1 + 1e-12, 2.0, 4.0])


def test_fraction_is_0_in_the_first_epoch_and_1_in_the_last() -> None:
    assert [Progress(epoch=epoch, epochs=5).fraction for epoch in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert Progress(epoch=0, epochs=1).fraction == 0


@pytest.mark.parametrize("case", [f"eta{k}" for k in range(11)])
def test_cycle_matches_the_published_eta_counted_from_0(case: str) -> None:
    """The published values at ``epochs`` and beyond leave [0, 1]; a Progress never gets there."""
    epochs, factor = int(GOLDEN[f"{case}/cfg"][0]), GOLDEN[f"{case}/cfg"][1]
    found = [Progress(epoch=epoch, epochs=epochs).cycle(factor) for epoch in range(epochs)]
    np.testing.assert_allclose(found, GOLDEN[f"{case}/timm"][:epochs], rtol=1e-12, atol=1e-14)
    defined = GOLDEN[f"{case}/oltr_status"][:epochs] == 0
    np.testing.assert_allclose(np.array(found)[defined], GOLDEN[f"{case}/oltr"][:epochs][defined], rtol=1e-12)


@given(EPOCHS, FACTORS)
def test_cycle_stays_within_0_and_1_falls_once_and_climbs_once(epochs: int, factor: float) -> None:
    eta = [Progress(epoch=epoch, epochs=epochs).cycle(factor) for epoch in range(epochs)]
    assert all(0 <= value <= 1 for value in eta)
    assert eta[0] == 1
    climbs = np.diff(eta) > 0
    assert not np.any(np.diff(climbs.astype(int)) < 0)
    if epochs > 1:
        assert eta[-1] == (1 if factor > 1 else 0)


@pytest.mark.parametrize("factor", [0.99, 0.0, -2.0])
def test_a_factor_below_1_is_an_error(factor: float) -> None:
    with pytest.raises(UserError, match="factor is at least 1"):
        Progress(epoch=0, epochs=3).cycle(factor)


def test_a_scalar_is_a_number_or_a_schedule() -> None:
    progress = Progress(epoch=3, epochs=7)
    assert at(2, progress) == 2.0
    assert isinstance(at(2, progress), float)
    assert at(lambda p: math.sqrt(p.epoch + 6), progress) == 3.0


def test_importing_the_contracts_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, oltr.contracts; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
