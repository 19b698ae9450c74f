"""The scale study and the suite of one GPU, in sizes that show that they count what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import gpu, gpu_table, scale, scale_page, scale_points
from benchmarks.running import Settings, measured_here

TINY = Settings(rounds=1, memory=False, tiny=True)


def test_a_list_and_its_sampler_hold_sixteen_bytes_an_image() -> None:
    found = scale_points.entries(20_000, classes=10)
    assert found["drawn"] == 20_000
    assert 16 <= found["held_bytes"] < 16.1
    assert 20 <= found["held_bytes_drawn"] < 20.1


def test_held_bytes_count_an_array_once_and_its_views_too() -> None:
    class Owner:
        def __init__(self) -> None:
            self.whole = torch.zeros(8, dtype=torch.int64)
            self.view = self.whole[2:]
            self.array = self.whole.numpy()
            self.other = torch.zeros(3, dtype=torch.int32)

    Owner.__module__ = "oltr.owner"
    assert scale_points._held(Owner()) == 64 + 12


def test_each_study_has_its_points_table_and_picture(tmp_path: Path) -> None:
    told: list[str] = []
    curves = [curve for curve in scale.CURVES if curve.name in ("classes", "knn")]
    results = measured_here("scale", lambda: scale.run_curves(curves, "tiny", told.append))
    assert [[point[row["size"]] for point in row["points"]] for row in results["rows"]] == [[5, 9], [60]]
    page = scale_page.markdown(results)
    for row in results["rows"]:
        for point in row["points"]:
            assert f"| {point[row['size']]:,} |" in page
    drawn = scale_page.draw(results, tmp_path)
    assert [path.name for path in drawn] == ["scale_classes.png", "scale_scorers.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_picture_shows_the_points_that_are_known() -> None:
    points = [
        {"classes": 5, "milliseconds": 2.0, "peak_bytes": 3e6},
        {"classes": 9, "milliseconds": 4.0, "peak_bytes": None},
    ]
    figure = scale_page.picture(
        "classes", ("milliseconds", "peak_bytes"), [{"size": "classes", "label": "x", "points": points}]
    )
    lines = [panel.get_lines()[0] for panel in figure.axes]
    assert [line.get_xydata().tolist() for line in lines] == [[[5, 2], [9, 4]], [[5, 3]]]


def test_processes_of_torchrun_share_the_steps() -> None:
    for synced in (True, False):
        found = scale.measure_point("processes", {"count": 2, "steps": 2, "batch": 8, "synced": synced}, 1)
        assert found.keys() == {"images_per_second"}
        assert found["images_per_second"] > 0


def test_a_point_that_fails_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (curve,) = (curve for curve in scale.CURVES if curve.name == "classes")
    monkeypatch.setitem(curve.tiny_options, "feature_dim", -1)  # type: ignore[index]
    assert command.main(["--suite", "scale", "--tiny", "--rows", "classes"]) == 1
    assert capsys.readouterr().err.startswith('benchmarks: head {"feature_dim": -1')


def test_without_a_gpu_its_suite_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--suite", "gpu"]) == 2
    assert capsys.readouterr().err == (
        "benchmarks: --suite gpu needs a CUDA device, and there is none here; --device cpu tries the code without one\n"
    )


def test_the_gpu_suite_runs_on_the_cpu_too() -> None:
    row = gpu.ROWS[0]
    results = measured_here("gpu", lambda: gpu.run_rows([row], TINY, torch.device("cpu"), lambda line: None))
    (found,) = results["rows"]
    images, seconds = row.tiny["images"], found["seconds"]
    assert found["images_per_second"]["fed"] == images / seconds["fed"]["median"]
    assert found["share"] == seconds["memory"]["median"] / seconds["fed"]["median"]
    assert 0 < found["waiting_share"] < 1
    assert found["idle_share"] is found["peak_bytes"] is None
    assert "| stage_1_resnet10, float32 | 2 |" in gpu_table.markdown(results)


def test_covered_time_counts_what_two_spans_share_once() -> None:
    assert gpu.covered([(0, 4), (1, 2), (3, 6), (8, 9)]) == 7
    assert gpu.covered([]) == 0
