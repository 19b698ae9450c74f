"""Which runs a suite has, where they lie, and in which order they begin."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from oltr import config
from oltr.bench.plan import Job, is_done, plan
from oltr.bench.suite import load_suite
from oltr.contracts import UserError
from oltr.plain_data import write_yaml

SUITE = Path("suites/tiny.yaml")


def changed(old: str, new: str) -> list[Job]:
    text = SUITE.read_text()
    assert old in text
    SUITE.write_text(text.replace(old, new, 1))
    return plan(load_suite(SUITE), Path("out"))


def test_first_stages_begin_first_and_share_their_folders(place: Path) -> None:
    jobs = plan(load_suite(SUITE), Path("out"))
    assert [job.name for job in jobs] == ["plain, seed 0", "plain, seed 1", "OLTR, seed 0", "OLTR, seed 1"]
    stage_1, stage_2 = Path("out/Tiny_LT/stage_1/seed_1"), Path("out/Tiny_LT/stage_2/seed_1")
    assert jobs[1].paths == {stage_1}
    assert jobs[3].paths == {stage_1, stage_2}
    assert jobs[3].folder.path == stage_2
    assert [link.stage.seed for link in jobs[3].chain] == [1, 1]


def test_the_evaluation_is_that_of_the_methods_alone(place: Path) -> None:
    job = plan(load_suite(SUITE), Path("out"))[2]
    first, last = (link.stage.evaluation for link in job.chain)
    assert [scorer.name for scorer in first.scorers] == ["entropy"]
    assert [scorer.name for scorer in last.scorers] == ["msp", "energy"]
    assert [threshold.options for threshold in last.thresholds] == [{"rate": 0.9}]


def test_the_suite_s_overrides_reach_every_stage(place: Path) -> None:
    jobs = changed("seeds:", "overrides: [epochs=5, data.image_size=16]\nseeds:")
    for job in jobs:
        assert [link.stage.epochs for link in job.chain] == [5] * len(job.chain)
        assert [link.stage.data.options["image_size"] for link in job.chain] == [16] * len(job.chain)
    assert jobs[2].overrides[2:] == ("epochs=5", "data.image_size=16", "init_from.epochs=5")
    assert jobs[0].paths < jobs[2].paths


def test_a_method_with_overrides_has_a_folder_of_its_own(place: Path) -> None:
    jobs = changed("stage_2.yaml}", "stage_2.yaml, overrides: [epochs=1]}")
    assert jobs[2].paths == {Path("out/oltr/Tiny_LT/stage_1/seed_0"), Path("out/oltr/Tiny_LT/stage_2/seed_0")}
    assert [link.stage.epochs for link in jobs[2].chain] == [2, 1]
    assert jobs[2].log == Path("out/logs/oltr_seed_0.log")
    assert not jobs[0].paths & jobs[2].paths


def test_the_words_of_a_job_are_understood_by_the_command_and_mean_the_same(place: Path) -> None:
    from oltr.arguments import parse, parser

    job = plan(load_suite(SUITE), Path("out"))[3]
    chosen = parse(parser(), job.words(Path("data"), "cpu"))
    assert (chosen.command, chosen.out, chosen.seed, chosen.resume) == ("run", Path("out"), 1, True)
    assert (chosen.data_root, chosen.device) == (Path("data"), "cpu")
    found = config.plain(config.load(chosen.config, chosen.overrides))
    assert {**found, "seed": 1} == config.plain(job.chain[-1].stage)


def test_methods_that_are_one_run_are_told(place: Path) -> None:
    with pytest.raises(UserError, match="methods 'plain' and 'again' are the same run of Tiny_LT/"):
        changed("  OLTR:", "  again: {config: ../Tiny_LT/stage_1.yaml}\n  OLTR:")


def test_one_folder_is_not_wanted_with_two_configs(place: Path) -> None:
    """Another folder of the same name, with another stage_1."""
    other = place / "other" / "Tiny_LT"
    other.mkdir(parents=True)
    for name in ("stage_1", "stage_2"):
        text = Path(f"Tiny_LT/{name}.yaml").read_text()
        (other / f"{name}.yaml").write_text(text.replace("batch_size: 8", "batch_size: 4"))
    with pytest.raises(UserError, match=r"'plain' and 'OLTR' share Tiny_LT/stage_1/seed_0 .*batch_size: 8 -> 4"):
        changed("../Tiny_LT/stage_2.yaml", "../other/Tiny_LT/stage_2.yaml")


def test_a_folder_that_the_suite_has_anyhow_is_not_a_method_s(place: Path) -> None:
    with pytest.raises(UserError, match=r"methods\.logs: the folder 'logs' is taken"):
        changed("  OLTR: {", "  logs: {overrides: [epochs=1], ")


def test_pretraining_is_what_the_chain_began_with(place: Path) -> None:
    jobs = changed("stage_2.yaml}", "stage_2.yaml, overrides: [init_from.initial_weights=net.pth]}")
    assert [job.pretraining for job in jobs] == [None, None, "net.pth", "net.pth"]


def finished(job: Job) -> None:
    """As if it had run: every file that says so."""
    for age, link in enumerate(job.chain):
        folder, plain = link.folder, config.plain(link.stage)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.config.write_text(write_yaml(plain))
        folder.report.write_text(json.dumps({"schema": 2, "run": {"config": plain}}))
        folder.best.touch()
        os.utime(folder.best, (1000 + age, 1000 + age))


def test_a_run_is_done_when_its_files_say_so(place: Path) -> None:
    job = plan(load_suite(SUITE), Path("out"))[2]
    assert not is_done(job, 2)
    finished(job)
    assert is_done(job, 2)


def test_a_run_of_another_config_age_or_schema_is_not_done(place: Path) -> None:
    job, twin = (plan(load_suite(SUITE), Path("out"))[2] for _ in range(2))
    finished(job)
    assert not is_done(job, 3)
    job.folder.report.write_text(job.folder.report.read_text()[:-9])
    assert not is_done(job, 2)
    finished(job)
    os.utime(job.chain[0].folder.best, (2000, 2000))  # its first stage has been run anew
    assert not is_done(job, 2)
    finished(twin)
    other = changed("rate: 0.9", "rate: 0.8")[2]
    assert is_done(job, 2)
    assert not is_done(other, 2)
    job.chain[0].folder.best.unlink()
    assert not is_done(job, 2)


def test_keys_without_effect_on_the_result_leave_a_run_done(place: Path) -> None:
    finished(plan(load_suite(SUITE), Path("out"))[2])
    assert is_done(changed("seeds:", "overrides: [workers=1]\nseeds:")[2], 2)
