"""What the page holds, read from its text."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oltr.report.html import page, rendering
from oltr.report.html.figures import svg
from oltr.report.html.runs import precise, thin, whole
from oltr.report.style import new_figure

Make = Callable[..., dict[str, Any]]
HOSTILE = ["</script><img src=x onerror=alert(1)>", "<!--", "&amp;", "\"'>", "{{ 7 * 7 }}", "字 \u2028"]
EMPTY = {"meta", "link", "img", "input", "br", "hr", "path", "use", "rect", "image"}


class Read(HTMLParser):
    """The elements of a page, each a name and its attributes, and the text below each element of an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name is not None:
                self.text[name] = self.text.get(name, "") + data

    def all(self, attribute: str) -> Iterator[str]:
        return (value for _, found in self.elements if (value := found.get(attribute)) is not None)


def data_of(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Read(text).text["data"])
    return content


def test_no_class_name_is_markup(make_report: Make) -> None:
    report = make_report(names=HOSTILE, name="<b>run</b>", command="oltr run '<i>'")
    text = page([report], title="<script>alert(2)</script>")
    read = Read(text)
    tags = Counter(tag for tag, _ in read.elements)
    assert tags["script"] == 2
    assert tags["img"] == tags["b"] == tags["i"] == 0
    assert data_of(text)["tables"][0]["name"] == HOSTILE
    assert read.text["command-0"] == "oltr run '<i>'"
    assert "49" not in read.text.get("data", "").partition('"name"')[2][:200]


def test_it_needs_nothing_from_elsewhere(make_report: Make) -> None:
    text = page([make_report(far=True)], [[{"epoch": 0, "loss": {"total": 1.0}, "lr": {}, "val": {"accuracy": 0.5}}]])
    read = Read(text)
    for attribute in ("src", "href", "action", "data", "srcset"):
        assert all(re.match(r"#|data:", value) for value in read.all(attribute)), attribute
    addresses = set(re.findall(r"\w+://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name that scripts make elements by, not fetched
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_ids_are_unique_and_what_is_referred_to_is_there(make_report: Make) -> None:
    reports = [make_report(far=True), make_report(seed=1, name="Set/other/seed_1")]
    read = Read(page(reports))
    ids = Counter(read.all("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    referred = {value.removeprefix("#") for value in read.all("href") if value.startswith("#")}
    referred |= {name for value in read.all("aria-labelledby") for name in value.split()}
    referred |= set(read.all("for")) - {"slider scorer"}
    referred |= {name for value in read.all("clip-path") for name in re.findall(r"url\(#(.*?)\)", value)}
    assert len(referred) > 20
    assert referred <= ids.keys()


def test_rows_are_the_numbers_of_the_report(make_report: Make) -> None:
    report = make_report(far=True)
    data = data_of(page([report]))
    assert [row["scorer"] for row in data["rows"]] == ["msp", "norm"]
    keys = [column["key"] for column in data["columns"]]
    row = dict(zip(keys, data["rows"][1]["values"], strict=True))
    entry = report["open"]["norm"]
    point = entry["operating_points"]["known_acceptance_0.9"]
    expected = {key: report["closed"][key] for key in ("accuracy", "many", "medium", "few")}
    expected |= {key: entry["ranking"][key] for key in ("auroc", "fpr_at_95_known", "frr_at_95_open", "oscr")}
    expected |= {f"auroc_{shot}": entry["groups"]["auroc"][shot] for shot in ("many", "medium", "few")}
    expected |= {key: point[key]["overall"] for key in ("f_oltr2020", "f_oltr2019", "f_micro", "f1_macro_k1")}
    expected |= {"auroc_far": entry["far"]["ranking"]["auroc"], "false_rejection_few": point["false_rejection"]["few"]}
    assert row.keys() == expected.keys()
    for key, value in expected.items():
        assert row[key] == pytest.approx(value, abs=6e-6), key


def test_without_an_open_set_there_is_a_row_of_the_closed_one(make_report: Make) -> None:
    report = make_report(unknown=False)
    data = data_of(page([report]))
    assert [column["key"] for column in data["columns"]] == ["accuracy", "many", "medium", "few"]
    assert data["rows"][0]["scorer"] is None
    assert data["rows"][0]["values"][0] == pytest.approx(report["closed"]["accuracy"], abs=6e-6)
    assert data["runs"][0]["note"] == report["open_note"]


def test_curves_and_points_are_those_of_the_report(make_report: Make) -> None:
    report = make_report(far=True)
    scorer = data_of(page([report]))["runs"][0]["scorers"][0]
    entry = report["open"]["msp"]
    curves = entry["curves"]
    assert len(scorer["curves"]["threshold"]) == len(curves["f_measures"]["threshold"])
    np.testing.assert_allclose(scorer["curves"]["threshold"], curves["f_measures"]["threshold"], rtol=1e-4)
    for kind in ("known", "many", "medium", "few", "open", "far"):
        np.testing.assert_allclose(
            np.array(scorer["curves"]["rejection"][kind]) / 1e4, curves["rejection"][kind], atol=6e-5
        )
    ends = (scorer["curves"]["far_roc"][name][-1] for name in ("open_accepted", "known_accepted"))
    assert list(ends) == [10000, 10000]
    point, stored = scorer["points"][2], entry["operating_points"]["per_class"]
    assert point["threshold"] is None
    assert point["f"]["f_micro"] == pytest.approx(stored["f_micro"]["overall"] * 1e4, abs=1e-4)
    assert point["rejection"]["few"] == pytest.approx(stored["false_rejection"]["few"] * 1e4, abs=1e-4)
    assert point["rejection"]["far"] == pytest.approx(stored["far_open_accuracy"] * 1e4, abs=1e-4)
    assert point["confusion"]["shares"][3] == precise(list(stored["confusion"]["open"].values()))


def test_refused_runs_are_told_and_have_no_row(make_report: Make) -> None:
    reason = "epochs were chosen on the test set"
    good, bad = make_report(), make_report(seed=1, test_selected=True, test_selected_because=[reason])
    both, alone = page([good, bad]), page([bad])
    assert f"refused: Set/stage_1/seed_1: {reason}" in both
    assert {row["run"] for row in data_of(both)["rows"]} == {0}
    assert f"Selected on test data: {reason}" in alone
    assert data_of(alone)["rows"]
    assert "test data" not in page([good])


def test_methods_of_one_name_and_other_configs_stay_apart(make_report: Make) -> None:
    reports = [make_report(seed=seed, config={"seed": seed, "epochs": epochs}) for epochs in (3, 4) for seed in (0, 1)]
    data = data_of(page([*reports, make_report(name="Set/other/seed_0")]))
    assert data["methods"] == ["Set/stage_1 (1)", "Set/stage_1 (2)", "Set/other/seed_0"]
    assert [run["method"] for run in data["runs"]] == [0, 0, 1, 1, 2]


def test_rows_that_are_not_comparable_are_told(make_report: Make) -> None:
    one, other = make_report(), make_report(classes=7, name="Set/other/seed_0")
    expected = "Rows are not comparable: Set/other/seed_0 was measured on other data than Set/stage_1/seed_0."
    assert expected in page([one, other])
    assert "not comparable" not in page([one, make_report(seed=1)])
    assert "OLTR has seen more" in page([one], warnings=["OLTR has seen more"])


def test_classes_of_runs_on_the_same_data_are_stored_once(make_report: Make) -> None:
    data = data_of(page([make_report(), make_report(seed=1), make_report(classes=7, seed=2)]))
    assert [run["classes"]["table"] for run in data["runs"]] == [0, 0, 1]
    assert [len(table["name"]) for table in data["tables"]] == [6, 7]


def test_many_runs_and_scorers_stay_small(make_report: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    report = make_report(classes=400, far=True)
    entry = report["open"]["msp"]
    full = {**report, "open": {f"scorer {index}": entry for index in range(30)}}
    monkeypatch.setattr(rendering, "pictures", lambda *_: {})
    text = page([full | {"run": report["run"] | {"name": f"Set/{run}"}} for run in range(12)])
    assert len(text.encode()) < 3_000_000
    scorer = data_of(text)["runs"][3]["scorers"][29]
    assert len(scorer["curves"]["threshold"]) == 40
    assert scorer["curves"]["rejection"]["known"][0] == round(entry["curves"]["rejection"]["known"][0] * 1e4)
    assert scorer["curves"]["rejection"]["known"][-1] == round(entry["curves"]["rejection"]["known"][-1] * 1e4)


def test_thinning_keeps_both_ends_and_spreads_evenly() -> None:
    assert thin(200, 1) == list(range(200))
    kept = thin(200, 4)
    assert (len(kept), kept[0], kept[-1]) == (50, 0, 199)
    assert {second - first for first, second in pairwise(kept)} <= {4, 5}
    assert len(thin(200, 100)) == 40
    assert thin(1, 3) == [0]
    assert thin(0, 3) == []


def test_shares_are_whole_ten_thousandths() -> None:
    assert whole([0.12344, None, 1.0]) == [1234, None, 10000]
    assert whole(None) is None


def test_pictures_follow_the_theme_and_keep_their_text() -> None:
    figure, axes = new_figure("a title", "a <run>")
    axes[0, 0].plot([0, 1], [0, 1], color="#0072B2")
    axes[0, 0].axvline(0.5, color="#333333")
    text = svg(figure, name="p1", title="what <it> shows")
    assert text.startswith('<svg role="img" aria-labelledby="p1-title" viewBox="0 0 576')
    assert "what &lt;it&gt; shows" in text
    assert "a &lt;run&gt;" in text  # as text, not as outlines
    assert "stroke: var(--series-1)" in text
    assert "stroke: currentColor" in text
    assert "#0072b2" not in text
    assert re.findall(r' id="(?!p1-)', text) == []
    assert re.findall(r"url\(#(?!p1-)", text) == []


def test_a_scatter_of_very_many_points_is_a_bitmap() -> None:
    sizes = []
    for count in (1500, 1501):
        figure, axes = new_figure("a title", "run")
        axes[0, 0].scatter(range(count), range(count))
        text = svg(figure, name="p1", title="points")
        assert ("data:image/png" in text) == (count > 1500)
        sizes.append(len(text))
    assert sizes[1] < sizes[0]


def test_pictures_of_one_run_a_method(make_report: Make) -> None:
    reports = [make_report(), make_report(seed=1), make_report(name="Set/other/seed_0")]
    text = page(reports)
    assert "run0-roc-title" in text
    assert "run2-roc-title" in text
    assert "run1-roc" not in text
    assert "those of Set/stage_1/seed_1 are in its own report" in text


def luminance(colour: str) -> float:
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_colours_can_be_read(theme: str) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    style = (Path(rendering.__file__).parent / "static" / "page.css").read_text(encoding="utf-8")
    block = style.partition(theme)[2].partition("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for front in ("ink", "soft", "accent"):
        for back in ("page", "card"):
            assert contrast(colours[front], colours[back]) >= 4.5, (front, back)
    assert contrast(colours["warn-ink"], colours["warn"]) >= 4.5
    for index in range(1, 9):
        assert contrast(colours[f"series-{index}"], colours["card"]) >= 3, index


def test_a_page_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        page([])


def test_the_headline_is_told(make_report: Make) -> None:
    report = make_report()
    text = page([report])
    share = report["open"]["msp"]["ranking"]["auroc"]
    assert f"<dt>AUROC</dt><dd>{share * 100:.1f}</dd>" in text
