"""`oltr doctor`: what it finds, and what it advises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oltr import allocator, allocator_steps, doctor
from oltr.cli import main

JEMALLOC = Path("/lib/libjemalloc.so.2")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One core, one thread, no GPU, and jemalloc lying there."""
    monkeypatch.setattr(doctor, "usable_cores", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(allocator, "preloaded", lambda: None)
    monkeypatch.setattr(allocator, "found", lambda: {"jemalloc": JEMALLOC})
    return monkeypatch


@pytest.mark.usefixtures("machine")
def test_the_command_tells_facts_and_then_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    facts, _, todo = capsys.readouterr().out.partition("\n\n")
    assert "cores: 1 usable" in facts
    assert f"torch {torch.__version__.partition('+')[0]}" in facts
    assert "no CUDA device" in facts
    assert "JPEG files are decoded by torchvision" in facts
    assert "colours are put outermost by " in facts
    assert "handed out by the C library" in facts
    assert f"Preload jemalloc, large tensors may cost less: LD_PRELOAD={JEMALLOC} MALLOC_CONF=" in todo


def test_advice_is_given_only_where_it_helps(machine: pytest.MonkeyPatch) -> None:
    assert [line.split()[0] for line in doctor.advice({"avx512_bf16"})] == ["Preload", "Try"]
    machine.setattr(doctor, "usable_cores", lambda: 4)
    assert doctor.advice(set())[0] == "Set OMP_NUM_THREADS=4: torch computes in 1 of 4 cores."
    machine.setattr(torch, "get_num_threads", lambda: 9)
    assert doctor.advice(set())[0] == "Set OMP_NUM_THREADS=4: 9 threads on 4 cores wait for each other."
    machine.setattr(torch, "get_num_threads", lambda: 4)
    machine.setattr(allocator, "found", dict)
    assert doctor.advice(set())[0].startswith("Install jemalloc")
    machine.setattr(allocator, "preloaded", lambda: "jemalloc")
    assert doctor.advice(set()) == []
    machine.setattr(doctor, "cpu_flags", set)
    assert doctor.examine()[-1].startswith("Nothing to do")


def test_measuring_sets_each_allocator_beside_the_library_as_it_is(machine: pytest.MonkeyPatch) -> None:
    rates = {"leave": 10.0, "keep": 15.0, str(JEMALLOC): 20.0}
    machine.setattr(
        allocator_steps,
        "_rate_under",
        lambda environment, keep: rates[environment.get("LD_PRELOAD", "keep" if keep else "leave")],
    )
    assert doctor.measured()[1:] == [
        "  the C library as it is: 10.0 (1.00 times)",
        "  the C library as our runs set it: 15.0 (1.50 times)",
        "  jemalloc: 20.0 (2.00 times)",
    ]
    assert "--measure" not in "".join(doctor.advice(set(), measure=True))


def test_a_step_is_timed() -> None:
    assert allocator_steps.rate(batch=2, size=32, steps=1) > 0


def test_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("model name\t: X\nflags\t\t: fpu avx2 avx512_bf16\nflags\t\t: other\n")
    assert doctor.cpu_flags(told) == {"fpu", "avx2", "avx512_bf16"}
    assert doctor.cpu_flags(tmp_path / "none") == set()


def test_memory_is_told_as_far_as_the_system_tells_it(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    for text, expected in (
        ("MemTotal: 4096 kB\nMemFree: 1024 kB\nMemAvailable: 2048 kB\n", ["memory: 2 MiB free of 4 MiB"]),
        ("MemTotal: 4096 kB\nMemFree: 1024 kB\n", ["memory: 1 MiB free of 4 MiB"]),
        ("MemTotal: 4096 kB\n", []),
        ("", []),
    ):
        told.write_text(text)
        assert doctor._memory(told) == expected
    assert doctor._memory(tmp_path / "none") == []


def test_a_gpu_that_cannot_be_used_is_told(machine: pytest.MonkeyPatch) -> None:
    def broken(index: int) -> None:
        raise RuntimeError("CUDA driver initialization failed\nmore of it")

    machine.setattr(torch.cuda, "device_count", lambda: 1)
    machine.setattr(torch.cuda, "get_device_properties", broken)
    assert doctor.gpus() == ["cuda:0: there, but not usable: CUDA driver initialization failed"]
