"""The files of the published code that a config may name, known by their text. Standard library only."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath

DOORS = Path(__file__).parents[2]
"""Our own checkout, whose ``loss/`` has doors that stand for published files."""

_RESNET = ("models/ResNetFeature.py", "layers/ModulatedAttLayer.py", "utils.py")
NEEDS: dict[str, tuple[str, ...]] = {
    "models/ResNet10Feature.py": _RESNET,
    "models/ResNet152Feature.py": _RESNET,
    "models/DotProductClassifier.py": ("utils.py",),
    "models/CosNormClassifier.py": (),
    "models/MetaEmbeddingClassifier.py": ("models/CosNormClassifier.py", "utils.py"),
    "loss/SoftmaxLoss.py": (),
    "loss/DiscCentroidsLoss.py": (),
    "loss/asl_focal_loss.py": (),
    "data/ClassAwareSampler.py": (),
}
"""The files that a config names, and those that each of them imports."""

DIGESTS: dict[str, tuple[str, ...]] = {
    "models/ResNet10Feature.py": (
        "3bfa7b63c4ca5dd76f0f5f5ab0c12e28f8ad361edcbe3c445da228fe6d85f114",
        "56f3607b16ed52afef9e3350d781d696121c2d6d07eca1fd6f9e4c529c0fd7e8",
        "777ff708d099343fc1c73382fd14ce575aeea946b4566dacc1c5becac5a03417",
        "a927105076f75512db8358c8f77d20f43f4975355daf9bd0cf44e182654520a5",
    ),
    "models/ResNet152Feature.py": (
        "3e0c23208c1875eba393d4aac2a96d3a0b14ffcb82308d882f7f81ffd4290998",
        "f6f8e9f1abde1564212a0183fcd234a7f7a03f31de67e2b2ea2221a29dc9755c",
        "521884262c11fedbaf4625659921111d2612b7e89e99825604f2845c1edef977",
    ),
    "models/ResNetFeature.py": (
        "b599e896f7356317708dfc3a79ff109261355eb77459e651bdff4c040b60f6f7",
        "4e54194b24d6f3df5ac9fb1557302bec685fea7b1f26ba0af624565642e80e44",
    ),
    "layers/ModulatedAttLayer.py": (
        "29fa2eb36be56a4180706e715f9d56689c3323b506c5dadda2394898e427663c",
        "9c6cfed806c99bf13c7561422de845912f7fefa04aa86c38b27caf7bc4f50503",
    ),
    "utils.py": (
        "2b59dbd432f81d8d8627fc52b482ee02f5c78a2771ab96403240492ff3d7b687",
        "051bc5cb38a64b7b1aecff8db9c5dec89c826af0a6282f91b14975b786dc7aa8",
        "33692ee16a04cf7e3743c258d6f025dae6d0eb9c7530a9e05ce24fed4489ea01",
        "8766e2d229179639d45298478bd31f1510ce563b68eb98450f64e9fae489c277",
        "42519d7b1f5a847e21da6d257e621dae1c3bdca0783d799481e084c9f5b382a6",
        "961185c8e13afc0291a254505523ab1d90a118e1a27091757c94b781d13ce0e0",
        "3706a46290052ae16b354f404d54c708cf6f764a4a02db4f521d38805f2c2dd0",
        "af2db9be274d7c33abe015d23b982acd460100a378e2aba1f6d8ba47f443be60",
    ),
    "models/DotProductClassifier.py": ("2f10cc918dffd15cdc58153dd3be027b80ff8a64a99e920ace2e024e2bb1b6f9",),
    "models/MetaEmbeddingClassifier.py": (
        "8724e6e4d29ed96951f7679874dd680ce8f30fd61be8b348a676cd17ea1f5fdc",
        "b40f1c06ae486b497d79b6c4a72dac606e2d7424127941fcc379842392d7eca6",
    ),
    "models/CosNormClassifier.py": (
        "5a7c696330841d9d593c9ff85e927e29206ec0e307c6d1f3c5e7918167d9c090",
        "7d43b046ba2a3f86b6bb2d10e3b2b224cade7f8467cbd4d90ec1ae4a563ac042",
    ),
    "loss/SoftmaxLoss.py": ("8ac8fd9b30bd7a0110a431a01440a7e1c3e525211aa835a7f6b475af4eb9da84",),
    "loss/DiscCentroidsLoss.py": (
        "fd804542239e28f1a605bfb81096ceea79f2aca14742600aab993a6ba10d3ee0",
        "e8fa023dec51d1ea83e0054c4464df210f7e9ea4a67b30e0d364a6495777030f",
    ),
    "data/ClassAwareSampler.py": ("bdf2662ea9837baed5e6f565acbd680f023872990974f7c58120d8acfde580ca",),
    "loss/asl_focal_loss.py": (
        "24b31273ba1b8ee7ef7a6ddbc1eea7819b4bf3ceb69db6eed25b1ad3cd07356b",
        "d918e23dff76f9a18a756ffa5068d5cb72f6a64c9c987ef92bd30d0b5b313078",
    ),
}
"""SHA-256 of every published version that does what the last one does; older ones run as a user's own files."""


def published_name(file: str) -> str | None:
    """The name in the published tree that ``file`` ends in, whatever its text."""
    name = "/".join(PurePath(file).parts[-2:])
    return name if name in NEEDS else None


def changed(file: str) -> list[str]:
    """Of a file with a published name, and the files that it needs: those that are there with a text of their own."""
    name = published_name(file)
    if name is None or Path(file).resolve() == DOORS / name:
        return []
    places = {name: Path(file), **{needed: Path(needed) for needed in NEEDS[name]}}
    return [str(place) for key, place in places.items() if place.is_file() and digest(place) not in DIGESTS[key]]


def digest(path: Path) -> str:
    """SHA-256 of a text without the ends of its lines, which editors and git change."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return hashlib.sha256("\n".join(line.rstrip() for line in lines).rstrip().encode()).hexdigest()


def checksum(file: str) -> str:
    """The SHA-256 of a user's own file as it is."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
