"""The cores that a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oltr import cores
from oltr.cores import quota, usable_cores


def test_there_is_a_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (0.1, 1), (1.5, 2), (2.0, 2), (64.0, 8)])
def test_a_containers_time_limits_them(monkeypatch: pytest.MonkeyPatch, limit: float | None, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "quota", lambda: limit)
    assert usable_cores() == expected


def test_a_system_that_does_not_tell_which_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(cores, "quota", lambda: None)
    assert usable_cores() == 3


def test_a_group_whose_name_is_no_text_limits_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"0::/caf\xe9\n")
    assert quota(tmp_path, tmp_path / "own") is None


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({}, None, None),
        ({}, "0::/\n", None),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"cpu.max": "250000 100000\n"}, "0::/\n", 2.5),
        ({"jobs/one/cpu.max": "max 100000", "jobs/cpu.max": "300000 100000"}, "0::/jobs/one\n", 3.0),
        ({"jobs/one/cpu.max": "100000 100000", "jobs/cpu.max": "300000 100000"}, "0::/jobs/one\n", 1.0),
        ({"cpu.max": "200000 100000"}, "0::/of/the/host\n", 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "2:cpu:/\n", None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, "2:cpu:/\n", 4.0),
    ],
)
def test_the_least_quota_of_a_process_and_the_groups_around_it(
    tmp_path: Path, files: dict[str, str], own: str | None, expected: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    if own is not None:
        (tmp_path / "own").write_text(own)
    assert quota(tmp_path / "groups", tmp_path / "own") == expected
