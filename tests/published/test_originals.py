"""Published files are known by their text, whatever editors do to the ends of its lines."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from oltr.published import originals
from oltr.published.originals import changed, digest, published_name

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_ends_of_lines_do_not_count_and_all_else_does() -> None:
    for number, text in enumerate((b"a = 1\nb = 2\n", b"a = 1  \r\nb = 2", b"a = 1\rb = 2\n\n\n", b"a = 1\nb = 3\n")):
        Path(f"{number}.py").write_bytes(text)
    digests = [digest(Path(f"{number}.py")) for number in range(4)]
    assert digests[0] == digests[1] == digests[2] == hashlib.sha256(b"a = 1\nb = 2").hexdigest()
    assert digests[3] != digests[0]


def test_a_name_is_published_by_its_last_two_components() -> None:
    assert published_name("./models/ResNet10Feature.py") == "models/ResNet10Feature.py"
    assert published_name("/elsewhere/loss/SoftmaxLoss.py") == "loss/SoftmaxLoss.py"
    assert published_name("models/sub/ResNet10Feature.py") is None
    assert published_name("ResNet10Feature.py") is None


def test_a_file_counts_with_those_that_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "models/MetaEmbeddingClassifier.py"
    assert changed(name) == []  # none of them is there: ours stands for it
    Path("models").mkdir()
    Path(name).write_text("one")
    assert changed(name) == [name]
    monkeypatch.setitem(originals.DIGESTS, name, (digest(Path(name)),))
    assert changed(name) == []
    Path("models/CosNormClassifier.py").write_text("two")
    Path("utils.py").write_text("three")
    assert changed(f"./{name}") == ["models/CosNormClassifier.py", "utils.py"]
    assert changed("models/Mine.py") == []


def test_our_own_doors_stand_for_published_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("SoftmaxLoss", "DiscCentroidsLoss", "asl_focal_loss"):
        assert changed(f"./loss/{name}.py") == []


def test_every_file_that_a_config_may_name_has_its_digests() -> None:
    wanted = set(originals.NEEDS) | {needed for files in originals.NEEDS.values() for needed in files}
    assert set(originals.DIGESTS) == wanted
    assert all(len(text) == 64 for texts in originals.DIGESTS.values() for text in texts)
