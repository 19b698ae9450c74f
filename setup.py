"""Metadata, dependencies, and the one list of our own parts: entry points, like anyone's."""

from pathlib import Path

from setuptools import find_packages, setup

PARTS = {
    "oltr.datasets": [
        "glyphs = oltr.data.glyphs:Glyphs",
        "image_list = oltr.data.image_list:ImageList",
        "imagenet_lt = oltr.data.imagenet_lt:ImageNetLT",
        "places_lt = oltr.data.places_lt:PlacesLT",
        "cifar10_lt = oltr.data.cifar:Cifar10LT",
        "cifar100_lt = oltr.data.cifar:Cifar100LT",
        "fashion_mnist_lt = oltr.data.fashion_mnist:FashionMnistLT",
        "image_folder = oltr.data.image_folder:ImageFolder",
    ],
    "oltr.samplers": [
        "shuffled = oltr.samplers.shuffled:Shuffled",
        "class_aware = oltr.samplers.class_aware:ClassAware",
        "square_root = oltr.samplers.square_root:SquareRoot",
        "progressive = oltr.samplers.progressive:Progressive",
        "listed = oltr.samplers.listed:Listed",
    ],
    "oltr.transforms": [
        "imagenet_train = oltr.transforms.imagenet:ImageNetTrain",
        "imagenet_test = oltr.transforms.imagenet:ImageNetTest",
        "cifar_train = oltr.transforms.cifar:CifarTrain",
        "cifar_test = oltr.transforms.cifar:CifarTest",
        "plain = oltr.transforms.plain:Plain",
    ],
    "oltr.backbones": [
        "resnet10 = oltr.networks.resnet:resnet10",
        "resnet50 = oltr.networks.resnet:resnet50",
        "resnet152 = oltr.networks.resnet:resnet152",
        "resnet32 = oltr.networks.small_resnet:resnet32",
        "small_resnet10 = oltr.networks.small_resnet:small_resnet10",
    ],
    "oltr.classifiers": [
        "dot_product = oltr.networks.dot_product:DotProduct",
        "cosine = oltr.networks.cosine:Cosine",
        "meta_embedding = oltr.networks.meta_embedding:MetaEmbedding",
    ],
    "oltr.losses": [
        "cross_entropy = oltr.losses.cross_entropy:CrossEntropy",
        "cyclical_focal = oltr.losses.cyclical_focal:CyclicalFocalLoss",
        "disc_centroids = oltr.losses.disc_centroids:DiscCentroidsLoss",
    ],
    "oltr.stages": [
        "feature = oltr.stages:Feature",
        "meta_embedding = oltr.stages:MetaEmbedding",
    ],
    "oltr.scorers": [
        "msp = oltr.scorers.msp:MaximumSoftmax",
        "max_logit = oltr.scorers.max_logit:MaximumLogit",
        "energy = oltr.scorers.energy:Energy",
        "entropy = oltr.scorers.entropy:Entropy",
        "centroid_distance = oltr.scorers.centroid_distance:CentroidDistance",
    ],
    "oltr.schedules": [
        "constant = oltr.schedules:Constant",
        "step = oltr.schedules:Step",
        "multistep = oltr.schedules:MultiStep",
        "linear = oltr.schedules:Linear",
        "cosine = oltr.schedules:Cosine",
        "warmup = oltr.schedules:WarmUp",
        "restarts = oltr.schedules:Restarts",
        "cyclical = oltr.schedules:Cyclical",
    ],
    "oltr.optimizers": ["sgd = torch.optim:SGD", "adamw = torch.optim:AdamW"],
}

setup(
    name="oltr",
    version="0.1.0",
    description="Benchmark suite for open long-tailed recognition",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.10",
    packages=find_packages(include=["oltr", "oltr.*"]),
    package_data={"oltr": ["py.typed"]},
    install_requires=[
        "torch>=2.6",
        "torchvision",
        "numpy",
        "pillow",
        "pyyaml",
        "scikit-learn",
        "h5py",
        "tqdm",
        "matplotlib",
    ],
    extras_require={
        "dev": ["pytest", "pytest-xdist", "hypothesis", "scipy", "ruff", "mypy", "types-PyYAML", "types-tqdm"],
    },
    entry_points={"console_scripts": ["oltr = oltr.cli:main"], **PARTS},
)
