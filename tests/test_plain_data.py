"""YAML without traps, overrides by key path, differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oltr.plain_data import ConfigError, differences, override, read, read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-2.5E+3", -2500.0),
        (".inf", float("inf")),
        ("3", 3),
        ("-12", -12),
        ("010", "010"),
        ("1:30", "1:30"),
        ("off", "off"),
        ("no", "no"),
        ("true", True),
        ("null", None),
        ("1e", "1e"),
        ("2024-01-01", "2024-01-01"),
        ("e5", "e5"),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    read_value = read_yaml(text, "here")
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "here: line 1: the key 'a' stands twice"),
        ("a: [1\n", "here: line 2: not YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_unreadable_text_is_located(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_yaml(text, "here")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_config_names_the_yaml_beside_it(tmp_path: Path) -> None:
    (tmp_path / "stage_1_cfl.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"stage_1_cfl\.py: no such config; there is .*stage_1_cfl\.yaml"):
        read(tmp_path / "stage_1_cfl.py")
    with pytest.raises(ConfigError, match=r"did you mean .*stage_1_cfl\.yaml"):
        read(tmp_path / "stage_1_clf.yaml")


def test_a_config_must_be_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="a mapping of keys, not list"):
        read(tmp_path / "list.yaml")


def test_overrides_reach_into_mappings_and_lists() -> None:
    plain = {"a": {"b": 1}, "losses": [{"weight": 1}, {"weight": 2}]}
    assert override(plain, ["a.b=5e-4", "a.c.d=[1, 2]", "losses.1.weight=3", "new=x"]) == {
        "a": {"b": 5e-4, "c": {"d": [1, 2]}},
        "losses": [{"weight": 1}, {"weight": 3}],
        "new": "x",
    }
    assert plain == {"a": {"b": 1}, "losses": [{"weight": 1}, {"weight": 2}]}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "an override is written key.path=value"),
        ("a.b.c=1", "'a.b' is 1 and has no key 'c'"),
        ("losses.7.weight=1", "'losses' is a list of 1; '7' is not an index of it"),
        ("losses.x=1", "'x' is not an index of it"),
    ],
)
def test_a_wrong_override_is_located(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        override({"a": {"b": 1}, "losses": [{}]}, [assignment])
    assert message in str(error.value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(alphabet="abe.+-_ 01:#{}[]"),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(alphabet="abc", min_size=1), children),
    max_leaves=8,
)


@given(st.dictionaries(st.text(alphabet="abcxyz_", min_size=1), PLAIN, max_size=4))
def test_what_is_written_is_read_back(plain: dict[str, object]) -> None:
    assert read_yaml(write_yaml(plain), "here") == plain


def test_written_floats_are_floats_for_other_readers_too() -> None:
    assert yaml.safe_load(write_yaml({"lr": 5e-05, "big": 1e20})) == {"lr": 5e-05, "big": 1e20}


def test_differences_name_the_key_path() -> None:
    old = {"a": 1, "b": {"c": [1, {"d": 2}]}, "gone": 1}
    new = {"a": 1, "b": {"c": [1, {"d": 3}]}, "more": 2}
    assert list(differences(old, new)) == ["b.c.1.d: 2 -> 3", "gone: 1 -> None", "more: None -> 2"]
    assert list(differences(old, old)) == []
