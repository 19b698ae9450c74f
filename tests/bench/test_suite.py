"""A suite as it is read, and what is wrong with one, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from oltr.bench.suite import load_suite, restricted
from oltr.contracts import UserError
from oltr.plain_data import override


def test_a_suite_is_read_as_it_is_written(place: Path) -> None:
    suite = load_suite(Path("suites/tiny.yaml"))
    assert suite.name == "Tiny-LT"
    assert [method.name for method in suite.methods] == ["plain", "OLTR"]
    assert suite.methods[1].config == Path("Tiny_LT/stage_2.yaml")
    assert (suite.seeds, suite.baseline, suite.overrides) == ((0, 1), "plain", ())


def test_an_evaluation_is_an_override_that_says_the_same(place: Path) -> None:
    suite = load_suite(Path("suites/tiny.yaml"))
    read_back = override({"evaluation": {"scorers": ["knn"]}}, suite.evaluated)
    assert read_back == {
        "evaluation": {
            "scorers": ["msp", "energy"],
            "thresholds": [{"name": "known_acceptance", "rate": 0.9}],
        }
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("baseline: plain", "baselin: plain", "unknown key 'baselin'; did you mean 'baseline'?"),
        ("baseline: plain", "baseline: plane", "baseline: no method 'plane'; did you mean 'plain'?"),
        ("stage_2.yaml}", "stage_3.yaml}", "methods.OLTR: config: .*stage_3.yaml: no such config; did you mean"),
        ("stage_2.yaml}", "stage_2.yaml, overides: []}", "methods.OLTR: unknown key 'overides'; did you mean"),
        ("  OLTR:", "  plain:", "line 3: the key 'plain' stands twice"),
        ("  OLTR:", "  Plain:", "'plain' and 'Plain' would have the same folder"),
        ("  OLTR:", "  5:", "methods.5: the name is text: write '5', in quotes"),
        ("  OLTR:", "  '+':", "a name has a letter or a digit"),
        ("  scorers:", "  scorer:", "evaluation: unknown key 'scorer'; did you mean 'scorers'?"),
        ("seeds: [0, 1]", "seeds: [0, 0]", r"seeds: a list of different whole numbers from 0 on, not \[0, 0\]"),
        ("seeds: [0, 1]", "seeds: 3", "seeds: a list of different whole numbers"),
        ("seeds: [0, 1]", "overrides: epochs=2", 'overrides: a list of "key.path=value"'),
        ("name: Tiny-LT", "seeds: [0]", "the key 'seeds' stands twice"),
        ("name: Tiny-LT\n", "", "the key 'name' is missing"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(place: Path, old: str, new: str, said: str) -> None:
    path = Path("suites/tiny.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=said) as error:
        load_suite(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("suites/tiny.yaml: ")


def test_a_restricted_suite_has_these_seeds_and_methods(place: Path) -> None:
    suite = load_suite(Path("suites/tiny.yaml"))
    assert restricted(suite, seeds=[3, 3, 1]).seeds == (3, 1)
    alone = restricted(suite, only=["OLTR"])
    assert [method.name for method in alone.methods] == ["OLTR"]
    assert alone.baseline is None
    assert restricted(suite, only=["plain"]).baseline == "plain"
    with pytest.raises(UserError, match="--only: no method 'OLT'; did you mean 'OLTR'"):
        restricted(suite, only=["OLT"])
