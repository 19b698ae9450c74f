"""The page in a real browser: what a person sees, clicks and types, compared with the report."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from oltr.report.cells import percent
from oltr.report.html import page
from tests.report.browser import Browser, Tab, browser, executable
from tests.report.conftest import build_report

pytestmark = pytest.mark.skipif(executable() is None, reason="no chromium or chrome here: the page is not tried in one")
HOSTILE = '</script><img src=x onerror="window.hacked = 1">'
NAMES = [*(f"class {index}" for index in range(299)), HOSTILE]
SHARES = ("f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("one") / "p.h5"
    return build_report(path, classes=300, far=True, names=NAMES, command="oltr run --config a.yaml")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("many") / "p.h5"
    methods = {"plain": 3, "other": 4}
    return [
        build_report(path, seed=seed, name=f"{method}/seed_{seed}", config={"seed": seed, "epochs": epochs})
        for method, epochs in methods.items()
        for seed in (0, 1, 2)
    ]


@pytest.fixture(scope="module")
def one(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory, [report])


@pytest.fixture(scope="module")
def many(runs: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory, runs)


def written(folder: pytest.TempPathFactory, reports: list[dict[str, Any]]) -> Path:
    path = folder.mktemp("page") / "report.html"
    path.write_text(page(reports), encoding="utf-8")
    return path


def cells(tab: Tab, table: str) -> list[list[str]]:
    """The text of a table's body."""
    script = f"[...document.querySelectorAll('#{table} tbody tr')].map(row => [...row.cells].map(c => c.textContent))"
    found: list[list[str]] = tab.run(script)
    return found


def column(tab: Tab, table: str, title: str) -> list[str]:
    titles: list[str] = tab.run(f"[...document.querySelectorAll('#{table} thead th')].map(head => head.textContent)")
    return [row[titles.index(title)] for row in cells(tab, table)]


def head(tab: Tab, table: str, title: str) -> str:
    """A selector of the button that sorts by a column."""
    titles: list[str] = tab.run(f"[...document.querySelectorAll('#{table} thead th')].map(head => head.textContent)")
    return f"#{table} thead th:nth-child({titles.index(title) + 1}) button"


def sorting(tab: Tab, selector: str) -> str:
    found: str = tab.run(f"document.querySelector({json.dumps(selector)}).parentElement.getAttribute('aria-sort')")
    return found


def live(tab: Tab, table: str) -> list[float | None]:
    return [None if row[1] == "–" else float(row[1]) for row in cells(tab, table)]


def focus(tab: Tab, selector: str) -> None:
    tab.run(f"document.querySelector({json.dumps(selector)}).focus()")


def enter(tab: Tab, selector: str, text: str) -> None:
    """Type into a field in place of what is in it."""
    tab.run(f"document.querySelector({json.dumps(selector)}).select()")
    focus(tab, selector)
    tab.type(text)


def choose(tab: Tab, select: str, value: str) -> None:
    tab.run(
        f"(() => {{ const found = document.getElementById({json.dumps(select)}); found.value = {json.dumps(value)};"
        "found.dispatchEvent(new Event('change')); })()"
    )


def percents(values: Any) -> Any:
    """What a screen shows of shares: a tenth of a percent, of four digits that are stored."""
    return pytest.approx([None if value is None else 100 * value for value in values], abs=0.056)


def test_the_slider_moves_f_measures_rejections_and_the_points_on_the_curves(
    chromium: Browser, one: Path, report: dict[str, Any]
) -> None:
    tab = chromium.open(one)
    curves = report["open"]["msp"]["curves"]
    count = len(curves["f_measures"]["threshold"])
    focus(tab, "#slider")
    for keys, index in ((("Home", 1), 0), (("ArrowRight", 7), 7), (("ArrowLeft", 2), 5), (("End", 1), count - 1)):
        tab.press(*keys)
        assert tab.run("Number(document.getElementById('slider').value)") == index
        assert live(tab, "live-f") == percents(curves["f_measures"][name][index] for name in SHARES)
        rejected = {kind: values[index] for kind, values in curves["rejection"].items()}
        assert live(tab, "live-rejection") == percents(
            rejected[kind] for kind in ("known", "many", "medium", "few", "open", "far")
        )
        says = tab.run("document.getElementById('slider-says').textContent")
        threshold = float(says.split()[1].rstrip("."))
        assert threshold == pytest.approx(curves["f_measures"]["threshold"][index], rel=2e-3)
        assert tab.run("document.getElementById('slider').getAttribute('aria-valuetext')") in says
        marks = "[...document.querySelectorAll('#plot-%s .mark')].map(each => [+each.dataset.x, +each.dataset.y])"
        for mark, kind in zip(tab.run(marks % "roc"), ("open", "far"), strict=True):
            assert mark == percents([1 - rejected[kind], 1 - rejected["known"]])
        assert [up for _, up in tab.run(marks % "f")] == percents(curves["f_measures"][name][index] for name in SHARES)
        assert tab.run("document.querySelectorAll('#points [aria-pressed=true]').length") == 0
    assert tab.complaints() == []


def test_the_mark_on_the_roc_lies_on_its_curve(chromium: Browser, one: Path) -> None:
    tab = chromium.open(one)
    far = tab.run("""(() => {
        const mark = document.querySelector("#plot-roc .mark"), line = document.querySelector("#plot-roc .line");
        const at = [Number(mark.getAttribute("cx")), Number(mark.getAttribute("cy"))];
        let best = Infinity;
        for (let along = 0; along <= line.getTotalLength(); along += 0.5) {
            const point = line.getPointAtLength(along);
            best = Math.min(best, Math.hypot(point.x - at[0], point.y - at[1]));
        }
        return best;
    })()""")
    assert far < 2  # pixels


def test_operating_points_show_their_own_numbers(chromium: Browser, one: Path, report: dict[str, Any]) -> None:
    tab = chromium.open(one)
    points = list(report["open"]["msp"]["operating_points"].values())
    for index in (2, 1, 0):
        tab.click(f"#points button:nth-child({index + 1})")
        point = points[index]
        assert live(tab, "live-f") == percents(point[name]["overall"] for name in SHARES)
        groups = [point["false_rejection"][group] for group in ("overall", "many", "medium", "few")]
        assert live(tab, "live-rejection") == percents(
            [*groups, point["open_set_accuracy"], point["far_open_accuracy"]]
        )
        pressed = "[...document.querySelectorAll('#points button')].map(b => b.getAttribute('aria-pressed') === 'true')"
        assert tab.run(pressed) == [place == index for place in range(3)]
        limits = tab.run("document.querySelectorAll('#plot-f .limit, #plot-histogram .limit').length")
        assert limits == (0 if point["threshold"] is None else 2)
        rows = cells(tab, "confusion-open")
        assert [row[0] for row in rows] == list(point["confusion"])
        for row, shares in zip(rows, point["confusion"].values(), strict=True):
            assert [float(cell) for cell in row[1:]] == percents(shares.values())
    titles = tab.run("[...document.querySelectorAll('#confusion-open thead th')].map(head => head.textContent)")
    assert titles == ["images of", "many", "medium", "few", "rejected"]
    table = cells(tab, "points-table")
    assert [row[0] for row in table] == [point["rule"] for point in points]
    assert float(table[1][4]) == pytest.approx(100 * points[1]["false_rejection"]["few"], abs=0.056)
    placed = tab.run("Number(document.getElementById('slider').value)")
    grid = report["open"]["msp"]["curves"]["f_measures"]["threshold"]
    assert grid[placed] <= points[0]["threshold"] * (1 - 1e-4) <= grid[placed + 1]
    assert tab.complaints() == []


def test_numbers_are_printed_as_in_the_rest_of_the_report(chromium: Browser, one: Path, report: dict[str, Any]) -> None:
    tab = chromium.open(one)
    shares = [0.5825, 0.5875, 0.0025, 0.63545, 0.63555, 0.5, 1.0, 0.00049, *(count / 4000 for count in range(40))]
    script = (files("oltr.report.html") / "static" / "data.js").read_text(encoding="utf-8")
    assert tab.run(f"(() => {{ {script}; return {shares}.map(percent); }})()") == [percent(value) for value in shares]
    point = next(iter(report["open"]["msp"]["operating_points"].values()))
    shown = tab.run("[...document.querySelectorAll('#live-f tbody td:last-child')].map(cell => cell.textContent)")
    assert shown == [percent(point[name]["overall"]) for name in SHARES]


def test_another_scorer_has_its_own_curves(chromium: Browser, one: Path, report: dict[str, Any]) -> None:
    tab = chromium.open(one)
    choose(tab, "scorer", "1")
    point = report["open"]["norm"]["operating_points"]["known_acceptance_0.9"]
    assert live(tab, "live-f") == percents(point[name]["overall"] for name in SHARES)
    assert tab.run("document.querySelectorAll('#points button').length") == 2
    focus(tab, "#slider")
    tab.press("Home")
    curve = report["open"]["norm"]["curves"]["f_measures"]
    assert live(tab, "live-f") == percents(curve[name][0] for name in SHARES)


def test_the_table_sorts_both_ways_and_by_keyboard(chromium: Browser, many: Path, runs: list[dict[str, Any]]) -> None:
    tab = chromium.open(many)
    tab.click("#aggregate")
    values = [report["open"][scorer]["ranking"]["auroc"] for report in runs for scorer in ("msp", "norm")]
    button = head(tab, "methods-table", "AUROC")
    assert sorting(tab, button) == "none"
    tab.click(button)
    assert sorting(tab, button) == "descending"
    assert [float(text) for text in column(tab, "methods-table", "AUROC")] == percents(sorted(values, reverse=True))
    focus(tab, button)
    tab.press("Enter")
    assert sorting(tab, button) == "ascending"
    assert [float(text) for text in column(tab, "methods-table", "AUROC")] == percents(sorted(values))
    other = head(tab, "methods-table", "scorer")
    focus(tab, other)
    tab.press("Space")
    assert (sorting(tab, other), sorting(tab, button)) == ("ascending", "none")
    assert column(tab, "methods-table", "scorer") == ["msp"] * 6 + ["norm"] * 6
    assert tab.complaints() == []


def test_the_filter_and_the_means_over_seeds(chromium: Browser, many: Path, runs: list[dict[str, Any]]) -> None:
    tab = chromium.open(many)
    assert [row[:3] for row in cells(tab, "methods-table")] == [
        [method, scorer, "0, 1, 2"] for method in ("plain", "other") for scorer in ("msp", "norm")
    ]
    values = [100 * report["open"]["norm"]["groups"]["auroc"]["few"] for report in runs[3:]]
    expected = f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
    assert column(tab, "methods-table", "AUROC few")[3] == expected
    enter(tab, "#methods-search", "oth NORM")
    assert [row[:2] for row in cells(tab, "methods-table")] == [["other", "norm"]]
    assert tab.run("document.getElementById('methods-count').textContent") == "1 of 4 rows"
    tab.click("#aggregate")
    assert [row[2] for row in cells(tab, "methods-table")] == ["0", "1", "2"]
    shown = [float(text) for text in column(tab, "methods-table", "AUROC few")]
    assert shown == pytest.approx(values, abs=0.056)
    enter(tab, "#methods-search", "nothing like it")
    assert cells(tab, "methods-table") == []


def test_another_run_changes_what_is_below(chromium: Browser, many: Path, runs: list[dict[str, Any]]) -> None:
    tab = chromium.open(many)
    choose(tab, "run", "4")
    point = runs[4]["open"]["msp"]["operating_points"]["known_acceptance_0.9"]
    assert live(tab, "live-f") == percents(point[name]["overall"] for name in SHARES)
    assert [float(text) for text in column(tab, "classes-table", "accuracy")] == percents(
        row["accuracy"] for row in runs[4]["classes"]
    )
    ece = runs[4]["calibration"]["ece"]
    assert [float(text) for text in cells(tab, "calibration-table")[0][1:]] == percents(ece.values())
    shown = tab.run("[...document.querySelectorAll('[data-run]')].filter(p => !p.hidden).map(p => p.dataset.run)")
    assert shown == ["4", "4"]  # pictures and provenance
    assert tab.complaints() == []


def test_classes_are_searched_sorted_and_shown_in_part(chromium: Browser, one: Path, report: dict[str, Any]) -> None:
    tab = chromium.open(one)
    assert len(cells(tab, "classes-table")) == 100
    assert column(tab, "classes-table", "training images")[:3] == ["400", "394", "388"]
    tab.click("#classes-all")
    assert len(cells(tab, "classes-table")) == 300
    button = head(tab, "classes-table", "accuracy")
    tab.click(button)
    tab.click(button)
    accuracies = sorted(row["accuracy"] for row in report["classes"])
    assert [float(text) for text in column(tab, "classes-table", "accuracy")] == percents(accuracies)
    enter(tab, "#classes-search", "CLASS 29")
    assert sorted(column(tab, "classes-table", "class")) == sorted(name for name in NAMES[:-1] if "29" in name)
    enter(tab, "#classes-search", "</script>")
    assert column(tab, "classes-table", "class") == [HOSTILE]
    assert tab.run("window.hacked === undefined && document.images.length === 0")
    enter(tab, "#classes-search", "class")
    choose(tab, "classes-shot", "many")
    assert len(cells(tab, "classes-table")) == report["data"]["shots"]["classes"]["many"]


def test_the_theme_follows_the_system_until_it_is_chosen(chromium: Browser, one: Path) -> None:
    tab = chromium.open(one, dark=True)
    look = "[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]"
    dark = tab.run(look)
    assert dark[0] == "dark"
    tab.theme(dark=False)
    tab.wait("document.documentElement.dataset.theme === 'light'")
    light = tab.run(look)
    assert light[1] != dark[1]
    focus(tab, "#theme")
    tab.press("Enter")
    assert tab.run(look) == dark
    assert tab.run("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    picture = "getComputedStyle(document.querySelector('.picture svg text')).fill"
    ink = tab.run(picture)
    tab.press("Enter")
    assert tab.run(look) == light
    assert tab.run(picture) != ink


@pytest.mark.parametrize("which", ["one", "many"])
def test_nothing_is_fetched_nothing_complains_and_a_phone_need_not_scroll_sideways(
    which: str, chromium: Browser, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    for width in (390, 320, 1280):
        tab = chromium.open(path, width=width, height=844, dark=width == 390)
        tab.frames()
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.complaints() == []
        asked = [address for address in tab.requests() if not address.startswith("data:")]
        assert asked == [path.as_uri()]
    for small in ("live-f", "live-rejection", "confusion-closed", "confusion-open"):
        assert (
            tab.run(f"(box => box.scrollWidth - box.clientWidth)(document.getElementById('{small}').parentElement)")
            <= 0
        )
    tab.size(390, 844)
    tab.wait("document.querySelector('#plot-roc svg').viewBox.baseVal.width < 390")
    assert tab.run("document.documentElement.scrollWidth") <= 390


def test_everything_has_a_name_in_the_accessibility_tree(chromium: Browser, many: Path) -> None:
    tab = chromium.open(many)
    roles = (
        "button",
        "slider",
        "combobox",
        "searchbox",
        "checkbox",
        "table",
        "region",
        "image",
        "link",
        "columnheader",
    )
    found = tab.names(*roles, "main", "banner", "navigation", "rowheader")
    assert {"main", "banner", "navigation", *roles} <= {role for role, _ in found}
    unnamed = [role for role, name in found if not name.strip() and role in roles and role != "columnheader"]
    assert unnamed == []
    names = {name for _, name in found}
    assert {"Threshold on the score: images above it are rejected", "Scorer", "Run shown below", "AUROC"} <= names
    assert ("image", "ROC of msp") in found
    assert ("rowheader", "few") in found
    assert ("button", "Copy the command") not in found  # these runs tell no command


def test_the_keyboard_alone_is_enough(chromium: Browser, one: Path) -> None:
    tab = chromium.open(one)
    tab.press("Tab")
    assert tab.run("document.activeElement.textContent") == "Skip to the content"
    assert tab.run("document.activeElement.getBoundingClientRect().left >= 0")
    tab.press("Enter")
    assert tab.run("document.activeElement.id") == "content"
    seen = []
    for _ in range(60):
        tab.press("Tab")
        seen.append(tab.run("document.activeElement.id || document.activeElement.textContent"))
        outline = tab.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]
        if seen[-1] == "classes-search":
            break
    assert {"methods-search", "AUROC", "scorer", "slider", "classes-search"} <= set(seen)
    focus(tab, "[data-copy]")
    tab.press("Enter")
    tab.wait("document.getElementById('copied').textContent === 'The command is copied.'")
    assert tab.complaints() == []


def test_without_an_open_set_the_page_says_so(chromium: Browser, tmp_path: Path) -> None:
    report = build_report(tmp_path / "p.h5", unknown=False)
    path = tmp_path / "report.html"
    path.write_text(page([report]), encoding="utf-8")
    tab = chromium.open(path)
    assert tab.run("document.getElementById('threshold-none').textContent") == report["open_note"]
    assert not tab.run("document.getElementById('slider').checkVisibility()")
    assert [row[0] for row in cells(tab, "methods-table")] == ["–"]
    assert tab.complaints() == []


def test_on_paper_tables_are_whole_and_controls_are_gone(chromium: Browser, one: Path) -> None:
    tab = chromium.open(one)
    tab.send("Emulation.setEmulatedMedia", media="print")
    assert not tab.run("document.getElementById('theme').checkVisibility()")
    shown = "[...document.querySelectorAll('.scroll')].filter(part => part.checkVisibility())"
    assert tab.run(f"{shown}.filter(part => part.scrollHeight > part.clientHeight + 2).length") == 0
    assert tab.send("Page.printToPDF")["data"]
