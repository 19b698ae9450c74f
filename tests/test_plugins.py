"""Parts: found by name, refused with the nearest right answer, built with what they ask for."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Sequence

import pytest

from oltr.contracts import Progress, Scalar, at
from oltr.options import RESERVED, OptionError, declared
from oltr.plugins import KINDS, Kind, Plugin, PluginError, installed


class Part:
    def __init__(
        self,
        *,
        labels: Sequence[int] = (),
        size: int,
        rate: Scalar = 0.5,
        names: Sequence[str] = (),
        flag: bool = False,
        mode: str | None = None,
    ) -> None:
        self.labels, self.size, self.rate = labels, size, rate
        self.names, self.flag, self.mode = names, flag, mode


class Halving:
    def __init__(self, *, value: float) -> None:
        self.value = value

    def __call__(self, progress: Progress) -> float:
        return self.value / 2**progress.epoch


def greedy(**options: int) -> None: ...


def reserved(*, weight: int = 1) -> None: ...


NUMBER = 3


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> str:
    made = types.ModuleType("parts_of_a_test")
    for item in (Part, Halving, greedy, reserved):
        setattr(made, item.__name__, item)
    made.NUMBER = NUMBER  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "parts_of_a_test", made)
    return "parts_of_a_test"


def offers(*plugins: tuple[str, str, str]) -> Kind:
    """A kind of things whose offers are (name, distribution, value)."""
    found = tuple(
        Plugin(group="test.things", name=name, value=value, distribution=distribution, version="1.2")
        for name, distribution, value in plugins
    )
    schedules = Kind(
        "test.schedules",
        find=lambda group: (
            Plugin(group=group, name="halving", value="parts_of_a_test:Halving", distribution="oltr", version="1.2"),
        ),
    )
    return Kind("test.things", given=("labels",), scalars=schedules, find=lambda group: found)


@pytest.fixture
def things(module: str) -> Kind:
    return offers(("part", "oltr", f"{module}:Part"), ("other", "oltr", f"{module}:Part"))


def test_options_and_given_values_arrive(things: Kind) -> None:
    part = things.build("part", {"size": 3, "names": ["a"]}, labels=[1, 2], unasked=object())
    assert (part.size, part.names, part.labels, part.rate) == (3, ["a"], [1, 2], 0.5)


def test_a_scalar_may_be_a_schedule(things: Kind) -> None:
    part = things.build("part", {"size": 3, "rate": {"name": "halving", "value": 8}})
    assert [at(part.rate, Progress(epoch=epoch, epochs=3)) for epoch in range(3)] == [8, 4, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3, "nmaes": []}, "option 'nmaes' is unknown; did you mean 'names'?"),
        ({}, "option 'size' is required"),
        ({"size": 3, "labels": [1]}, "option 'labels' is given by the run and cannot be set"),
        ({"size": "three"}, "option 'size' takes a whole number, not 'three'"),
        ({"size": True}, "option 'size' takes a whole number, not True"),
        ({"size": 3.5}, "option 'size' takes a whole number, not 3.5"),
        ({"size": {"name": "halving", "value": 1}}, "option 'size' takes a whole number, not {"),
        ({"size": 3, "rate": "fast"}, "option 'rate' takes a number or a schedule, not 'fast'"),
        ({"size": 3, "rate": {"name": "halfing"}}, "option 'rate': no schedule 'halfing'; did you mean 'halving'?"),
        ({"size": 3, "rate": {"name": "halving"}}, "schedule halving (oltr 1.2): option 'value' is required"),
        ({"size": 3, "names": "a"}, "option 'names' takes a list, not 'a'"),
        ({"size": 3, "names": [1]}, "option 'names' takes a list, not [1]"),
        ({"size": 3, "flag": 1}, "option 'flag' takes true or false, not 1"),
        ({"size": 3, "mode": 1}, "option 'mode' takes a word or null, not 1"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(things: Kind, options: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError) as error:
        things.check("part", options)
    assert message in str(error.value)
    assert str(error.value).startswith("thing part (oltr 1.2): ")
    assert "\n" not in str(error.value)


def test_null_is_only_for_options_that_take_it(things: Kind) -> None:
    things.check("part", {"size": 1, "mode": None})
    with pytest.raises(PluginError, match="'size' takes a whole number, not None"):
        things.check("part", {"size": None})


def test_ours_goes_before_another_package_of_that_name(module: str) -> None:
    kind = offers(("part", "theirs", "nowhere:Part"), ("part", "oltr", f"{module}:Part"))
    assert kind.find("part").distribution == "oltr"
    assert kind.find("theirs:part").distribution == "theirs"


def test_two_foreign_offers_must_be_told_apart(module: str) -> None:
    kind = offers(("part", "a", f"{module}:Part"), ("part", "b", f"{module}:Part"))
    with pytest.raises(PluginError, match="offered by 2 packages: write 'a:part' or 'b:part'"):
        kind.find("part")


def test_an_unknown_name_gets_the_nearest_one(things: Kind) -> None:
    with pytest.raises(PluginError, match="no thing 'prt'; did you mean 'part'"):
        things.find("prt")


def test_an_empty_group_says_how_to_install() -> None:
    with pytest.raises(PluginError, match=r"group 'test.things' is empty: not installed\? run `pip install -e \.`"):
        offers().find("part")


def test_a_part_without_packaging_is_named_by_its_path(things: Kind, module: str) -> None:
    assert things.build(f"{module}:Part", {"size": 1}).size == 1
    with pytest.raises(PluginError, match="cannot be imported from 'nowhere:Part': ModuleNotFoundError"):
        things.load("nowhere:Part")


def test_a_broken_package_hurts_only_its_own_parts(module: str) -> None:
    kind = offers(("part", "oltr", f"{module}:Part"), ("bad", "theirs", "nowhere.at.all:Bad"))
    assert kind.build("part", {"size": 2}).size == 2
    with pytest.raises(PluginError, match=r"thing bad \(theirs 1.2\) cannot be imported"):
        kind.check("bad", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [("greedy", r"declares '\*\*options"), ("reserved", "declares an option 'weight'"), ("NUMBER", "is a int, not a")],
)
def test_a_part_that_breaks_the_rules_is_refused(module: str, name: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        offers((name, "theirs", f"{module}:{name}")).check(name, {})


OURS = [(kind, plugin) for kind in KINDS for plugin in kind.plugins if plugin.distribution == "oltr"]


@pytest.mark.parametrize(("kind", "plugin"), OURS, ids=[f"{plugin.group}.{plugin.name}" for _, plugin in OURS])
def test_every_part_of_ours_follows_the_rules(kind: Kind, plugin: Plugin) -> None:
    parameters = declared(kind.load(plugin.name), plugin.name)
    assert not set(parameters) & set(RESERVED)
    required = {key for key, (needed, _) in parameters.items() if needed} - set(kind.given)
    if not required:
        kind.check(plugin.name, {})


def test_listing_imports_nothing() -> None:
    code = (
        "import sys; from oltr import plugins; n = sum(len(kind.plugins) for kind in plugins.KINDS); "
        "assert n > 40, n; assert not {'torch', 'numpy', 'oltr.losses'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_group_lists_nothing() -> None:
    assert installed("oltr.no_such_group") == ()
