"""Tables, and the page around them, by value: what is bold, what is a dash, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oltr.bench import comparison
from oltr.bench.command import _made
from oltr.bench.page import overview, page
from oltr.bench.suite import Method, Suite
from oltr.bench.tables import LEADERBOARD, by_scorer, leaderboard, skipped
from oltr.bench.typeset import escaped, latex, markdown
from tests.bench.reports import row

ACCURACY = {"plain": [0.6, 0.7, 0.65], "OLTR & CFL": [0.8, 0.9, 0.7]}
AUROC = {"plain": {"msp": [0.5, 0.6, 0.7], "knn": [0.9, 0.8, 0.7]}, "OLTR & CFL": {"msp": [0.7, 0.7, 0.7], "knn": None}}
FEW = {"plain": 0.3, "OLTR & CFL": 0.2}


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Two methods, three seeds, two scorers; knn has no number for the second method."""
    return [
        row(
            method,
            seed,
            scorer,
            accuracy=ACCURACY[method][seed],
            auroc=None if values is None else values[seed],
            skipped="it reads the head" if values is None else None,
            false_rejection_few=None if values is None else FEW[method],
            operating_point=None if values is None else "known_acceptance_0.95",
            images_seen=100 if method == "plain" else 150,
            parameters=10,
        )
        for method, by_scorer_ in AUROC.items()
        for seed in range(3)
        for scorer, values in by_scorer_.items()
    ]


@pytest.fixture
def suite() -> Suite:
    methods = tuple(Method(name=name, config=Path("c.yaml")) for name in AUROC)
    return Suite(name="Tiny", path=Path("s.yaml"), methods=methods, baseline="plain")


def test_the_leaderboard_is_of_the_first_scorer_and_of_columns_that_have_a_number(rows: list[dict[str, Any]]) -> None:
    table = leaderboard(rows)
    assert markdown(table).splitlines() == [
        "| method | all | AUROC | few rejected ↓ |",
        "| --- | ---: | ---: | ---: |",
        "| plain | 65.0 ± 5.0 | 60.0 ± 10.0 | 30.0 ± 0.0 |",
        "| OLTR & CFL | **80.0** ± 10.0 | **70.0** ± 0.0 | **20.0** ± 0.0 |".replace("&", "&amp;"),
    ]
    assert "Open set by msp; F and rejection at known_acceptance_0.95." in table.caption
    assert "among test numbers" in table.caption


def test_latex_is_a_float_with_booktabs(rows: list[dict[str, Any]]) -> None:
    text = latex([leaderboard(rows)])
    assert text.splitlines()[0] == r"% \usepackage{booktabs,graphicx}"
    assert r"\begin{tabular}{lrrr}" in text
    assert r"method & all & AUROC & few rejected $\downarrow$ \\" in text
    assert r"plain & 65.0 $\pm$ 5.0 & 60.0 $\pm$ 10.0 & 30.0 $\pm$ 0.0 \\" in text
    assert r"OLTR \& CFL & \textbf{80.0} $\pm$ 10.0 & \textbf{70.0} $\pm$ 0.0 & \textbf{20.0} $\pm$ 0.0 \\" in text
    assert r"known\_acceptance\_0.95" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1


def test_latex_escapes_what_it_would_take_for_its_own() -> None:
    assert escaped(r"50 % & a_b # $x^2$ {y} \z ~ < >") == (
        r"50 \% \& a\_b \# \$x\textasciicircum{}2\$ \{y\} \textbackslash{}z \textasciitilde{} "
        r"\textless{} \textgreater{}"
    )


def test_scorers_are_rows_and_a_missing_number_is_a_dash(rows: list[dict[str, Any]]) -> None:
    auroc, rejected = by_scorer(rows)
    assert markdown(auroc).splitlines()[2:] == [
        "| msp | 60.0 ± 10.0 | 70.0 ± 0.0 |",
        "| knn | **80.0** ± 10.0 | – |",
    ]
    assert r"knn & \textbf{80.0} $\pm$ 10.0 & -- \\" in latex([auroc])
    assert "a maximum over test numbers: no result" in auroc.caption
    assert "Lower is better" in rejected.caption
    assert skipped(rows) == {"it reads the head": ["OLTR & CFL: knn"]}


def test_all_that_print_the_same_are_the_best_and_a_number_alone_is_not() -> None:
    rows = [row("a", 0, accuracy=0.5001), row("b", 0, accuracy=0.4999), row("c", 0, accuracy=0.4, auroc=0.5)]
    assert [line[6:] for line in markdown(leaderboard(rows)).splitlines()[2:]] == [
        "**50.0** | – |",
        "**50.0** | – |",
        "40.0 | 50.0 |",
    ]


def test_how_many_runs_have_the_number_is_told_where_not_all_do() -> None:
    rows = [row("a", 0, accuracy=0.5, few=0.2), row("a", 1, accuracy=0.7), row("a", 2, accuracy=0.6, few=0.4)]
    assert markdown(leaderboard(rows)).splitlines()[2] == "| a | 60.0 ± 10.0 | 30.0 ± 14.1 (2 of 3) |"


def test_every_measure_of_the_leaderboard_is_a_column_of_results() -> None:
    empty = row("a", 0)
    assert all(measure.key in empty for measure in LEADERBOARD)


def test_against_the_baseline_by_seed(rows: list[dict[str, Any]]) -> None:
    """Differences of accuracy 0.2, 0.2, 0.05: mean 0.15, t = 3; of AUROC 0.2, 0.1, 0."""
    tested = comparison.against(rows, "plain")
    assert tested.keys() == {"accuracy", "auroc"}
    found = tested["accuracy"]["OLTR & CFL"]
    assert (found.count, found.difference) == (3, pytest.approx(0.15))
    assert found.t_p == pytest.approx(0.0955, abs=1e-4)
    assert found.t_holm == found.t_p  # one method
    assert tested["auroc"]["OLTR & CFL"].difference == pytest.approx(0.1)


def test_holm_is_over_the_methods_of_a_measure() -> None:
    rows = [
        row(method, seed, accuracy=base + gain * seed)
        for method, base, gain in (("base", 0.5, 0.0), ("b", 0.6, 0.01), ("c", 0.52, 0.02))
        for seed in range(4)
    ]
    tested = comparison.against(rows, "base")["accuracy"]
    small, large = sorted(found.t_p or 0 for found in tested.values())
    assert sorted(found.t_holm or 0 for found in tested.values()) == pytest.approx([2 * small, large])


def test_only_seeds_that_both_have_are_paired() -> None:
    rows = [
        row("base", 0, accuracy=0.5),
        row("base", 2, accuracy=0.1),
        row("b", 2, accuracy=0.4),
        row("b", 3, accuracy=1),
    ]
    found = comparison.against(rows, "base")["accuracy"]["b"]
    assert (found.count, found.difference) == (1, pytest.approx(0.3))


def test_methods_are_ranked_within_seeds(rows: list[dict[str, Any]]) -> None:
    result = comparison.methods_ranked(rows)
    assert result is not None
    assert result.ranks.blocks == 3
    assert dict(zip(result.ranks.names, result.ranks.average, strict=True)) == {
        "plain": pytest.approx((2 + 2 + 1.5) / 3),
        "OLTR & CFL": pytest.approx((1 + 1 + 1.5) / 3),
    }


def test_scorers_are_ranked_within_runs_and_left_out_without_a_number(rows: list[dict[str, Any]]) -> None:
    assert comparison.scorers_ranked(rows) is None  # knn is left out, and msp alone is no ranking
    plain = [found for found in rows if found["method"] == "plain"]
    result = comparison.scorers_ranked(plain)
    assert result is not None
    assert (result.ranks.names, result.ranks.blocks) == (("msp", "knn"), 3)
    assert result.ranks.average == pytest.approx([(2 + 2 + 1.5) / 3, (1 + 1 + 1.5) / 3])


def test_seeds_taken_together_are_one_block_a_method() -> None:
    rows = [
        row(method, seed, scorer, auroc=value)
        for method, seed, by_scorer_ in (("a", 0, (0.9, 0.1)), ("a", 1, (0.2, 0.3)), ("b", 0, (0.4, 0.5)))
        for scorer, value in zip(("msp", "knn"), by_scorer_, strict=True)
    ]
    apart, together = comparison.scorers_ranked(rows), comparison.scorers_ranked(rows, seeds_apart=False)
    assert apart is not None
    assert together is not None
    assert (apart.ranks.blocks, together.ranks.blocks) == (3, 2)
    assert apart.ranks.average == pytest.approx([5 / 3, 4 / 3])
    assert together.ranks.average == (1.5, 1.5)  # means of a: 0.55 and 0.2


def test_an_overview_warns_refuses_and_shows_what_failed(suite: Suite, rows: list[dict[str, Any]]) -> None:
    chosen = row("tuned", 4, accuracy=1.0, test_selected=True, test_selected_because="Its scorer was.")
    failed = row("broken", 1, None, failed="no *loss*")
    text = overview(suite, [*rows, chosen, failed])
    assert "- **not comparable: 'OLTR &amp; CFL' has seen 1.5 times the images of 'plain'**" in text
    assert "- refused: tuned, seed 4: Its scorer was." in text
    assert r"- failed: broken, seed 1: no \*loss\*" in text
    assert "| tuned" not in text
    assert "| broken" not in text
    assert "100.0" not in text


def test_where_everything_failed_that_is_what_is_said(suite: Suite) -> None:
    failed = row("plain", 0, None, failed="no disk")
    assert overview(suite, [failed]) == "- failed: plain, seed 0: no disk"
    assert page(suite, [failed]) == "# Tiny\n\n- failed: plain, seed 0: no disk\n"


def test_the_page_holds_tests_ranks_and_what_they_rest_on(suite: Suite, rows: list[dict[str, Any]]) -> None:
    text = page(suite, rows, {"methods": "m.svg"})
    assert "| OLTR &amp; CFL | +15.0 (p 0.095) | +10.0 (p 0.225) |" in text.replace("p 0.096", "p 0.095")
    assert "| plain | 65.0 [60.0, 70.0] | – | 60.0 [50.0, 70.0] | – | – |" in text
    assert "![Critical-difference diagram of methods](m.svg)" in text
    assert "Mean ranks: OLTR &amp; CFL 1.17; plain 1.83." in text
    assert "- it reads the head — OLTR &amp; CFL: knn" in text
    assert "| plain | 0, 1, 2 | 100 | 10 | none | 1 | `c.yaml` |" in text
    assert "read them as the range seen" in text


def test_the_page_says_how_the_runs_were_made() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    facts = {
        "hardware": {"cpu": "a_cpu", "gpus": [], "threads": 1},
        "packages": {"torch": "2.9"},
        "oltr": "1.0",
        "git_commit": "0123456789abcdef",
    }
    other = {**facts, "hardware": {"cpu": "b", "gpus": ["H200"], "threads": 2}, "git_commit": None}
    suite = Suite(name="Tiny", path=Path("tiny.yaml"), methods=())
    one: Any = [(Named("plain, seed 0"), {"provenance": facts}), (Named("plain, seed 1"), {"provenance": facts})]
    line = "a_cpu, threads 1, torch 2.9, oltr 1.0 at 0123456789"
    assert _made(suite, one) == ["Command: oltr bench tiny.yaml", line]
    both = [*one, (Named("other, seed 0"), {"provenance": other})]
    assert _made(suite, both)[1:] == [
        f"{line}: plain, seed 0; plain, seed 1",
        "b, H200, threads 2, torch 2.9, oltr 1.0: other, seed 0",
    ]
    assert page(suite, [], made=_made(suite, one)).startswith("# Tiny\n\n- Command: oltr bench tiny.yaml\n- a\\_cpu")
