"""The results of a suite as one Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from oltr.bench import budget, comparison
from oltr.bench.comparison import TESTED, Ranked
from oltr.bench.results import Row, methods_in, of, ranked
from oltr.bench.statistics import ENOUGH_FOR_RANKS, Paired, Spread
from oltr.bench.suite import Suite
from oltr.bench.tables import by_scorer, leaderboard, skipped
from oltr.bench.typeset import markdown
from oltr.report.cells import cell, details, rows

SEEDS = (
    "Seeds are trainings anew on one data set and split: what is said here holds for other seeds, not for other data. "
    "The intervals are of the mean, by the percentile bootstrap at 95 %. With two or three seeds they reach from the "
    "smallest to the largest value and cover the true mean in about half or three quarters of the cases: read them as "
    "the range seen."
)
PAIRED = (
    "Differences to {baseline} in percentage points, by seed: the mean, and p of the two-sided paired t test, after "
    "Holm's correction over the methods of the column (not over the columns). Wilcoxon's signed-rank test is added "
    f"from {ENOUGH_FOR_RANKS} seeds on; with fewer it cannot fall below 5 %."
)
METHODS = (
    "Friedman's test over methods; a block is a seed. The seeds are few, so that the chi-squared distribution is a "
    "rough guide, and methods that start from the same first stage share part of what the seed decides."
)
SCORERS = (
    "Friedman's test over scorers; a block is a run, that is a method with a seed. Runs of one method are trainings "
    "anew and all runs share one test set, so blocks are not independent and p is too small: it describes these runs, "
    "and is no claim about others. "
)


def page(
    suite: Suite, found: Sequence[Row], pictures: Mapping[str, str] | None = None, made: Sequence[str] = ()
) -> str:
    """Leaderboard, warnings, statistics and scorers; ``pictures`` are file names by `methods` and `scorers`.

    ``made`` are lines that say how the runs were made.
    """
    taken = ranked(found)
    sections = [f"# {cell(suite.name)}", *(["\n".join(f"- {cell(line)}" for line in made)] if made else [])]
    sections.append(overview(suite, found))
    if taken:
        sections += [
            *_cost(taken),
            "## Seeds",
            SEEDS,
            _intervals(taken),
            *_against(suite, taken),
            *_ranks(taken, pictures or {}),
            "## Scorers",
            *(part for table in by_scorer(taken) for part in (f"### {table.title}", markdown(table), table.caption)),
            *_skipped(taken),
        ]
    return "\n\n".join(sections) + "\n"


def overview(suite: Suite, found: Sequence[Row]) -> str:
    """The leaderboard, with what it lacks and what is wrong with it: what a terminal shows."""
    taken = ranked(found)
    sections = []
    if taken:
        table = leaderboard(taken)
        sections += [markdown(table), table.caption]
    told = [
        *(f"**{cell(line)}**" for line in budget.warnings(taken, suite.baseline)),
        *dict.fromkeys(
            f"refused: {cell(row['method'])}, seed {row['seed']}: {cell(row['test_selected_because'])}"
            for row in found
            if row["test_selected"]
        ),
        *(
            f"failed: {cell(row['method'])}, seed {row['seed']}: {cell(row['failed'])}"
            for row in found
            if row["failed"] is not None
        ),
    ]
    return "\n\n".join([*sections, *(["\n".join(f"- {line}" for line in told)] if told else [])])


def _cost(found: Sequence[Row]) -> list[str]:
    """What each row took, over its whole chain of stages."""
    lines = []
    for method in methods_in(found):
        runs = of(found, method, None)
        first = runs[0]
        seconds = sum(row["seconds"] or 0 for row in runs) / len(runs)
        lines.append(
            [
                cell(method),
                ", ".join(str(row["seed"]) for row in runs),
                _count(first["images_seen"]),
                _count(first["parameters"]),
                cell(first["pretraining"] or "none"),
                f"{seconds:,.0f}",
                f"`{first['config']}`",
            ]
        )
    titles = ["method", "seeds", "images seen", "parameters", "pretraining", "seconds of the last stage", "config"]
    return ["## Cost", rows(titles, lines)]


def _intervals(found: Sequence[Row]) -> str:
    told = comparison.intervals(found)
    lines = [[cell(method), *(_interval(by_key[item.key]) for item in TESTED)] for method, by_key in told.items()]
    return rows(["method", *(item.title for item in TESTED)], lines)


def _against(suite: Suite, found: Sequence[Row]) -> list[str]:
    """Nothing where the suite names no baseline, or where that has no result."""
    if suite.baseline is None or suite.baseline not in methods_in(found):
        return []
    tested = comparison.against(found, suite.baseline)
    columns = [item for item in TESTED if item.key in tested]
    methods = [method for method in methods_in(found) if any(method in by_method for by_method in tested.values())]
    lines = [[cell(method), *(_difference(tested[item.key].get(method)) for item in columns)] for method in methods]
    return [
        "## Against the baseline",
        PAIRED.format(baseline=cell(suite.baseline)),
        rows(["method", *(item.title for item in columns)], lines),
    ]


def _ranks(found: Sequence[Row], pictures: Mapping[str, str]) -> list[str]:
    sections = []
    told: dict[str, tuple[str, Callable[[Sequence[Row]], Ranked | None]]] = {
        "methods": (METHODS, comparison.methods_ranked),
        "scorers": (SCORERS, comparison.scorers_ranked),
    }
    for what, (text, find) in told.items():
        result = find(found)
        if result is None:
            continue
        text += _together(found) if what == "scorers" else ""
        picture = [f"![Critical-difference diagram of {what}]({pictures[what]})"] if what in pictures else []
        sections += [f"## Ranks of {what}", text.strip(), _friedman(result), *picture]
    return sections


def _together(found: Sequence[Row]) -> str:
    """What is left of the test where each method is one block."""
    result = comparison.scorers_ranked(found, seeds_apart=False)
    if result is None:
        return ""
    ranks = result.ranks
    return (
        f"With the seeds of a method taken together, {ranks.blocks} blocks remain: "
        f"chi-squared {ranks.chi_squared:.2f}, p {_p(ranks.chi_squared_p)}, "
        f"critical difference {ranks.critical_difference:.2f}."
    )


def _friedman(result: Ranked) -> str:
    ranks = result.ranks
    left_out = f" Left out, for want of numbers in some run: {', '.join(map(cell, result.left_out))}."
    order = sorted(zip(ranks.average, ranks.names, strict=True))
    return (
        f"By {result.measure.title}, {len(ranks.names)} in {ranks.blocks} blocks: "
        f"chi-squared {ranks.chi_squared:.2f}, p {_p(ranks.chi_squared_p)}; "
        f"F {ranks.f:.2f}, p {_p(ranks.f_p)} (Iman and Davenport). "
        f"Critical difference at 5 % (Nemenyi): {ranks.critical_difference:.2f}. Mean ranks: "
        f"{'; '.join(f'{cell(name)} {average:.2f}' for average, name in order)}."
        + (left_out if result.left_out else "")
    )


def _skipped(found: Sequence[Row]) -> list[str]:
    lines = [f"- {cell(reason)} — {', '.join(map(cell, named))}" for reason, named in skipped(found).items()]
    return [details("Scorers without numbers", "\n".join(lines))] if lines else []


def _interval(found: Spread | None) -> str:
    if found is None:
        return "–"
    text = f"{100 * found.mean:.1f}"
    return text if found.interval is None else f"{text} [{100 * found.interval[0]:.1f}, {100 * found.interval[1]:.1f}]"


def _difference(found: Paired | None) -> str:
    if found is None:
        return "–"
    text = f"{100 * found.difference:+.1f}"
    if found.t_holm is not None:
        text += f" (p {_p(found.t_holm)})"
    return text if found.wilcoxon_holm is None else f"{text}, Wilcoxon p {_p(found.wilcoxon_holm)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
