"""Our scorers beside pytorch-ood's: the same where the definition is, and where ours depart from it, how."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from scipy.stats import spearmanr, weibull_min
from torch import nn

from oltr.contracts import Head, Known, Outputs, UserError
from oltr.scorers.ash import ActivationShaping
from oltr.scorers.dice import Dice
from oltr.scorers.energy import Energy
from oltr.scorers.entropy import Entropy
from oltr.scorers.fdbd import BoundaryDistance
from oltr.scorers.gen import GeneralizedEntropy
from oltr.scorers.gradnorm import GradientNorm
from oltr.scorers.kl_matching import KLMatching
from oltr.scorers.knn import NearestNeighbours
from oltr.scorers.mahalanobis import Mahalanobis
from oltr.scorers.max_logit import MaximumLogit
from oltr.scorers.msp import MaximumSoftmax
from oltr.scorers.nci import NeuralCollapse
from oltr.scorers.nnguide import NearestNeighbourGuidance
from oltr.scorers.odin import Odin
from oltr.scorers.openmax import OpenMax
from oltr.scorers.react import ReAct
from oltr.scorers.relative_mahalanobis import RelativeMahalanobis
from oltr.scorers.scale import Scale
from oltr.scorers.she import SimplifiedHopfield
from oltr.scorers.temperature_scaling import TemperatureScaling
from oltr.scorers.vim import VirtualLogit

ood = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood is not installed: pip install -e .[dev]")

COUNTS = (90, 40, 20, 12, 8)
IMAGES, CLASSES, DIMENSIONS = sum(COUNTS), len(COUNTS), 16


class Linear(nn.Linear):
    """A last layer that takes features [B, E] as well as pytorch-ood's feature maps [B, E, 1, 1]."""

    def __init__(self, weight, bias):
        super().__init__(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)

    def forward(self, features):
        return super().forward(features.flatten(1))

    def outputs(self, features):
        return Outputs(features, self(features))

    def known(self, train, val=None):
        """What a scorer of ours is fitted on: sets of features and labels, in blocks."""

        def blocks(images):
            features, labels = images or ([], [])
            for start in range(0, len(labels), 50):
                part = slice(start, start + 50)
                yield self.outputs(features[part]), labels[part]

        return Known(train=lambda: blocks(train), val=lambda: blocks(val), head=Head(self.weight, self.bias))


def passing_on(size, dtype=torch.float32):
    """A last layer whose logits are the features."""
    return Linear(torch.eye(size, dtype=dtype), torch.zeros(size, dtype=dtype))


class Images:
    """Features after a ReLU: of a long tail, of a balanced validation set and of images to score, some of them far."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        means = torch.randn(CLASSES, DIMENSIONS, generator=generator)

        def drawn(labels, spread=1.0):
            return (means[labels] + spread * torch.randn(len(labels), DIMENSIONS, generator=generator)).relu()

        labels = torch.arange(CLASSES).repeat_interleave(torch.tensor(COUNTS))
        labels = labels[torch.randperm(IMAGES, generator=generator)]
        self.train = drawn(labels), labels
        balanced = torch.arange(60) % CLASSES
        self.val = drawn(balanced), balanced
        self.queries = torch.cat([drawn(balanced), drawn(balanced, spread=1.5)])
        patterns = means.relu()  # the last layer tells which of them is nearest
        self.layer = Linear(patterns / 3, -patterns.square().sum(dim=1) / 6)
        right = labels[self.layer(self.train[0]).argmax(dim=1) == labels].bincount(minlength=CLASSES)
        assert right.all()
        assert right.sum() < IMAGES


def ours(scorer, layer, queries, train=None, val=None):
    if (train or val) and hasattr(scorer, "fit"):
        scorer.fit(layer.known(train, val))
    return scorer(layer.outputs(queries)).double()


def theirs(detector, kind, layer, queries, fitted_on=None):
    """``kind`` says what the detector is given: logits, features, feature_maps, or what its network takes."""
    if kind == "network":
        return detector.predict(queries).double()
    form = {"logits": layer, "features": lambda z: z, "feature_maps": lambda z: z[:, :, None, None]}[kind]
    if fitted_on is not None:
        getattr(detector, f"fit_{kind}")(form(fitted_on[0]), fitted_on[1])
    return torch.as_tensor(getattr(detector, f"predict_{kind}")(form(queries))).double()


# ours; theirs, of the last layer; what it is given; the factor from ours to theirs
SAME = {
    "msp": (MaximumSoftmax, lambda layer: ood.MaxSoftmax(None), "logits", 1),
    "max_logit": (MaximumLogit, lambda layer: ood.MaxLogit(None), "logits", 1),
    "energy": (Energy, lambda layer: ood.EnergyBased(None), "logits", 1),
    "energy, T = 3": (lambda: Energy(temperature=3), lambda layer: ood.EnergyBased(None, t=3), "logits", 1),
    "entropy": (Entropy, lambda layer: ood.Entropy(None), "logits", 1),
    "gen": (GeneralizedEntropy, lambda layer: ood.GEN(None), "logits", 1 / CLASSES),
    "gen, M = 3": (
        lambda: GeneralizedEntropy(gamma=0.5, largest=3),
        lambda layer: ood.GEN(None, gamma=0.5, M=3),
        "logits",
        1 / 3,
    ),
    "kl_matching": (KLMatching, lambda layer: ood.KLMatching(None), "logits", 1),
    "react": (lambda: ReAct(percentile=80), lambda layer: ood.ReAct(None, layer, percentile=0.8), "feature_maps", 1),
    "scale": (lambda: Scale(percentile=65), lambda layer: ood.SCALE(None, layer, percentile=0.65), "feature_maps", 1),
    **{
        f"ash, {variant}": (
            lambda variant=variant: ActivationShaping(variant=variant, percentile=80),
            lambda layer, variant=variant: ood.ASH(None, layer, variant=f"ash-{variant}", percentile=0.8),
            "feature_maps",
            1,
        )
        for variant in "spb"
    },
    "dice": (
        lambda: Dice(percentile=70),
        lambda layer: ood.DICE(None, layer.weight, layer.bias, 0.7),
        "features",
        1,
    ),
    "gradnorm": (
        GradientNorm,
        lambda layer: ood.GradNorm(layer, lambda name: name == "weight"),
        "network",
        1 / CLASSES,
    ),
    "mahalanobis": (Mahalanobis, lambda layer: ood.Mahalanobis(None), "features", 1 / (2 * IMAGES)),
    "relative_mahalanobis": (RelativeMahalanobis, lambda layer: ood.RMD(None), "features", 1 / IMAGES),
    "knn": (lambda: NearestNeighbours(k=7), lambda layer: ood.KNN(None, k=7), "features", 1),
    "vim": (
        lambda: VirtualLogit(dimensions=6),
        lambda layer: ood.ViM(None, 6, layer.weight, layer.bias),
        "features",
        1,
    ),
    "nnguide": (
        lambda: NearestNeighbourGuidance(k=7),
        lambda layer: ood.NNGuide(None, layer, k=7),
        "features",
        1,
    ),
    "she": (SimplifiedHopfield, lambda layer: ood.SHE(None, layer), "features", 1),
    "fdbd": (BoundaryDistance, lambda layer: ood.fDBD(None, layer), "features", 1),
    "nci": (lambda: NeuralCollapse(alpha=0.01), lambda layer: ood.NCI(None, layer, alpha=0.01), "features", 1),
}
ON_VALIDATION_IMAGES = ("kl_matching", "react")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SAME)
def test_a_scorer_is_that_of_pytorch_ood_up_to_a_factor(name, seed):
    scorer, detector, kind, factor = SAME[name]
    images = Images(seed)
    fitted_on = images.val if name in ON_VALIDATION_IMAGES else images.train
    found = factor * ours(scorer(), images.layer, images.queries, images.train, images.val)
    expected = theirs(detector(images.layer), kind, images.layer, images.queries, fitted_on)
    difference = float((found - expected).abs().max() / expected.std())
    assert difference < 2e-4  # in single precision: relative Mahalanobis, there a small difference, is up to 4e-5 off


@pytest.mark.parametrize("std", [None, (0.5, 1.0, 2.0)])
@pytest.mark.parametrize(("temperature", "epsilon"), [(1.0, 0.1), (1000.0, 0.0014)])
def test_odin_is_that_of_pytorch_ood(temperature, epsilon, std):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, CLASSES)).double()
    images = torch.randn(20, 3, 8, 8, dtype=torch.float64)
    scorer = Odin(temperature=temperature, epsilon=epsilon, **({} if std is None else {"std": std}))
    found = scorer.score(lambda x: Outputs(x.flatten(1), network(x)), images)
    expected = ood.ODIN(network, eps=epsilon, temperature=temperature, norm_std=std).predict(images)
    unmoved = ood.ODIN(network, eps=0, temperature=temperature).predict(images)
    assert (found - expected).abs().max() < 1e-6 * (expected - unmoved).abs().min()


class Unshifted:
    """A Weibull distribution as pytorch-ood's OpenMax asks for it, fitted by SciPy to distances as they are."""

    def __init__(self, tailsize):
        self.tailsize = tailsize

    def fit_high(self, distances):
        self.shape, _, self.scale = weibull_min.fit(np.sort(distances)[-self.tailsize :], floc=0)

    def w_score(self, distance):
        return weibull_min.cdf(distance, self.shape, scale=self.scale)


class Logits:
    """Logits of six classes: of rightly classified training images, and to score, of known images and of others."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)

        def drawn(size):
            return torch.randn(size, 6, generator=generator, dtype=torch.float64)

        labels = torch.arange(6).repeat_interleave(torch.tensor([60, 50, 40, 30, 25, 20]))
        logits = 5 * nn.functional.one_hot(labels, 6) + 1.5 * drawn(len(labels))
        right = logits.argmax(dim=1) == labels
        self.train = logits[right], labels[right]
        self.queries = torch.cat([logits[::10] + drawn(len(logits[::10])), 3 * drawn(40)])
        self.layer = passing_on(6, dtype=torch.float64)
        assert (
            len(self.queries.argmax(dim=1).unique()) == 6
        )  # theirs has no distance to a class that is never predicted

    def ours(self, train=None, *, queries=None, **options):
        queries = self.queries if queries is None else queries
        return ours(OpenMax(tail=20, **options), self.layer, queries, train or self.train).numpy()

    def theirs(self, train=None, *, queries=None, alpha=10):
        queries, detector = self.queries if queries is None else queries, ood.OpenMax(None, tailsize=20, alpha=alpha)
        return theirs(detector, "logits", self.layer, queries, train or self.train).numpy()


@pytest.mark.parametrize("alpha", [1, 3, 10])
@pytest.mark.parametrize("seed", range(2))
def test_openmax_is_that_of_pytorch_ood_but_for_the_shift_of_distances(seed, alpha, monkeypatch):
    logits = Logits(seed)
    found, shifted = logits.ours(alpha=alpha), logits.theirs(alpha=alpha)
    assert spearmanr(found, shifted).statistic > 0.99
    assert abs(found - logit(shifted)).max() > 0.1
    monkeypatch.setattr("pytorch_ood.detector.openmax.numpy.LibNotMR", Unshifted)
    assert found == pytest.approx(logit(logits.theirs(alpha=alpha)), abs=1e-3)


def test_shapes_of_openmax_do_not_depend_on_the_scale_of_logits():
    logits = Logits(0)
    shapes = []
    for factor in (1, 10):
        train = factor * logits.train[0], logits.train[1]
        scorer, detector = OpenMax(tail=20), ood.OpenMax(None, tailsize=20)
        scorer.fit(logits.layer.known(train))
        detector.fit_logits(*train)
        distributions = detector._openmax.distributions
        shapes.append((scorer.distances.shape.numpy(), np.array([distributions[k].c for k in range(6)])))
    assert shapes[1][0] == pytest.approx(shapes[0][0], rel=1e-9)
    assert shapes[1][1] == pytest.approx(shapes[0][1] / 10, rel=0.01)  # 8,554 to 16,786 at a factor of 1


@pytest.mark.filterwarnings("ignore:overflow encountered in power:RuntimeWarning")  # at a shape of 6e8
def test_openmax_recognises_a_class_of_one_image():
    logits = Logits(0)
    values, labels = logits.train
    rare = (labels == 0).nonzero().squeeze(1)
    none, one = (torch.cat([rare[:count], (labels != 0).nonzero().squeeze(1)]) for count in (0, 1))
    of_rare = values[rare[10:22]]
    queries = torch.cat([of_rare, logits.queries])

    def scored(by, kept):
        return by((values[kept], labels[kept]), queries=queries)[: len(of_rare)]

    without, with_one = scored(logits.theirs, none), scored(logits.theirs, one)
    assert without.min() > 0.9  # a class without an image rejects what is predicted as it
    assert with_one == pytest.approx(without, abs=1e-6)
    assert expit(scored(logits.ours, none)) == pytest.approx(without, abs=1e-2)
    assert (without - expit(scored(logits.ours, one))).max() > 0.1


def test_a_score_of_openmax_depends_on_no_other_image():
    logits, scorer, detector = Logits(0), OpenMax(tail=20), ood.OpenMax(None, tailsize=20)
    found = ours(scorer, logits.layer, logits.queries, logits.train)
    alone = torch.cat([ours(scorer, logits.layer, image) for image in logits.queries.split(1)])
    assert found.numpy() == pytest.approx(alone.numpy(), rel=1e-9)
    expected = theirs(detector, "logits", logits.layer, logits.queries, logits.train)
    alone = torch.cat([theirs(detector, "logits", logits.layer, image) for image in logits.queries.split(1)])
    assert (expected - alone).abs().max() > 0.9
    assert spearmanr(expected, alone).statistic < 0.5


def test_temperature_scaling_reaches_the_optimum_that_pytorch_ood_falls_short_of():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(6, (300,), generator=generator)
    logits = 3 * torch.randn(300, 6, generator=generator) + 4 * nn.functional.one_hot(labels, 6)
    layer, scorer, detector = passing_on(6), TemperatureScaling(), ood.TemperatureScaling(None)
    found = ours(scorer, layer, logits, None, (logits, labels))
    expected = theirs(detector, "logits", layer, logits, (logits, labels)).detach()
    short = detector.t.item()
    assert 1 < short < 0.9 * scorer.temperature
    reached, fallen_short = (nn.functional.cross_entropy(logits / t, labels) for t in (scorer.temperature, short))
    assert reached < fallen_short
    assert (found - expected).abs().max() > 0.05
    scorer.temperature = short  # at the same temperature it is the same score
    assert scorer(layer.outputs(logits)).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_the_surest_images_differ_where_pytorch_ood_clamps_probabilities():
    layer, image, small = passing_on(3), torch.tensor([[40.0, 0.0, 0.0]]), np.exp(-40)
    expected = (2 * small) ** 0.1 + 2 * small**0.1
    assert ours(GeneralizedEntropy(), layer, image).item() == pytest.approx(expected, rel=1e-5)
    assert theirs(ood.GEN(None), "logits", layer, image).item() == pytest.approx(1e-7**0.1, rel=0.01)
    assert ours(Entropy(), layer, image).item() == pytest.approx(2 * small * 40, rel=1e-5)
    assert theirs(ood.Entropy(None), "logits", layer, image).item() == pytest.approx(-2e-7 * np.log(1e-7), rel=1e-5)


def test_a_template_of_zeros_is_not_infinitely_far():
    layer, image, val = passing_on(2), torch.tensor([[0.0, 1.0]]), (torch.tensor([[300.0, 0.0]]), torch.tensor([0]))
    share = expit(1)
    expected = share * np.log(share / 1e-30) + (1 - share) * np.log1p(-share)
    assert ours(KLMatching(), layer, image, None, val).item() == pytest.approx(expected, rel=1e-6)
    expected = share * torch.finfo(torch.float32).max
    assert theirs(ood.KLMatching(None), "logits", layer, image, val).item() == pytest.approx(expected, rel=1e-6)


def shaped(variant, activations, percentile):
    """The energies of an image's shaped activations, taken as logits: ours and theirs."""
    features, layer, share = torch.tensor([activations]), passing_on(len(activations)), percentile / 100
    if variant == "scale":
        scorer, detector = Scale(percentile=percentile), ood.SCALE(None, layer, share)
    else:
        scorer = ActivationShaping(variant=variant, percentile=percentile)
        detector = ood.ASH(None, layer, f"ash-{variant}", share)
    found = ours(scorer, layer, features, (features, torch.tensor([0])))
    return found.item(), theirs(detector, "feature_maps", layer, features).item()


def test_activations_of_zero_stay_zero_and_signed_ones_count_by_their_size():
    found, expected = shaped("b", [3.0, 0.0, 0.0, 0.0], 50)
    assert found == pytest.approx(-np.logaddexp.reduce([1.5, 0, 0, 0]), rel=1e-6)
    assert expected == pytest.approx(-np.logaddexp.reduce([1.5, 1.5, 0, 0]), rel=1e-6)
    for variant in ("s", "scale"):
        found, expected = shaped(variant, [0.0, 0.0, 0.0, 0.0], 50)
        assert found == pytest.approx(-np.log(4), rel=1e-6)
        assert np.isnan(expected)
    found, expected = shaped("p", [-3.0, 1.0, 0.5, 0.0], 75)
    assert found == pytest.approx(-np.logaddexp.reduce([-3, 0, 0, 0]), rel=1e-6)
    assert expected == pytest.approx(-np.logaddexp.reduce([0, 1, 0, 0]), rel=1e-6)


def test_weights_that_all_contribute_alike_stay():
    images, train = Images(0), (torch.zeros(3, DIMENSIONS), torch.arange(3))
    layer = images.layer
    found, energy = ours(Dice(), layer, images.queries, train), ours(Energy(), layer, images.queries)
    assert found.numpy() == pytest.approx(energy.numpy(), rel=1e-6)
    found = theirs(ood.DICE(None, layer.weight, layer.bias, 0.9), "features", layer, images.queries, train)
    assert found.numpy() == pytest.approx(-layer.bias.logsumexp(dim=0).item(), rel=1e-6)


def test_gradnorm_takes_in_no_other_parameter_than_the_last_weights():
    images = Images(0)
    found = ours(GradientNorm(), images.layer, images.queries)
    lengths = images.queries.abs().sum(dim=1).double()
    expected = CLASSES * theirs(ood.GradNorm(images.layer), "network", images.layer, images.queries)
    assert (found * (lengths + 1) / lengths).numpy() == pytest.approx(expected.numpy(), rel=1e-5)


@pytest.mark.parametrize(("kind", "per_square"), [("Mahalanobis", 0.5e6), ("RMD", 0)])
def test_a_direction_without_variation_does_not_count(kind, per_square):
    images, layer = Images(0), Linear(torch.zeros(CLASSES, DIMENSIONS + 1), torch.zeros(CLASSES))

    def extended(features, constant):
        return torch.cat([features, torch.full((len(features), 1), constant)], dim=1)

    train, near, far = (
        (extended(images.train[0], 1.0), images.train[1]),
        *(extended(images.queries, constant) for constant in (1.0, 1.5)),
    )
    scorer, detector = {"Mahalanobis": Mahalanobis, "RMD": RelativeMahalanobis}[kind](), getattr(ood, kind)(None)
    difference = ours(scorer, layer, far, train) - ours(scorer, layer, near)
    assert difference.abs().max() < 1e-6
    difference = theirs(detector, "features", layer, far, train) - theirs(detector, "features", layer, near)
    assert difference.numpy() == pytest.approx(per_square * 0.5**2, rel=1e-5, abs=0.2)


LAYER = Linear(torch.tensor([[2.0, 2.0], [0.0, 0.0], [0.0, 1.0]]), torch.zeros(3))
FEW = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0, 2])
"""Three training images, all of which LAYER takes for class 0; none is of class 1."""


@pytest.mark.parametrize(
    ("scorer", "detector", "error"),
    [
        (Mahalanobis, lambda: ood.Mahalanobis(None), AssertionError),
        (RelativeMahalanobis, lambda: ood.RMD(None), AssertionError),
        (SimplifiedHopfield, lambda: ood.SHE(None, LAYER), AssertionError),
        (NearestNeighbours, lambda: ood.KNN(None), ValueError),
        (NearestNeighbourGuidance, lambda: ood.NNGuide(None, LAYER), ValueError),
    ],
)
def test_a_class_without_images_and_fewer_images_than_neighbours_are_no_error(scorer, detector, error):
    with pytest.raises(error):
        detector().fit_features(*FEW)
    assert ours(scorer(), LAYER, FEW[0], FEW).isfinite().all()


def test_she_has_patterns_of_classes_without_a_rightly_classified_image():
    train = FEW[0], torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match="No correct predictions for class 1"):
        ood.SHE(None, LAYER).fit_features(*train)
    image = torch.tensor([[-1.0, 0.5]])  # of class 2 by LAYER, which has no image at all
    assert ours(SimplifiedHopfield(), LAYER, image, train).item() == pytest.approx(0.5)
    layer = Linear(torch.tensor([[2.0, 2.0], [-1.0, 0.0]]), torch.zeros(2))
    assert ours(SimplifiedHopfield(), layer, image, train).item() == pytest.approx(-1.0)


def test_the_subspace_of_vim_leaves_dimensions_over():
    images, dimensions = Images(0), DIMENSIONS + 1
    detector = ood.ViM(None, dimensions, images.layer.weight, images.layer.bias)
    assert detector.fit_features(*images.train).d == DIMENSIONS // 2
    with pytest.raises(UserError, match=f"below {DIMENSIONS}, the features', to leave any over: {dimensions}"):
        VirtualLogit(dimensions=dimensions).fit(images.layer.known(images.train))


def test_a_residual_of_zero_has_a_finite_scale():
    layer, image = Linear(torch.eye(3)[:2], torch.zeros(2)), torch.ones(1, 3)
    train = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), torch.arange(2)
    assert theirs(ood.ViM(None, 2, layer.weight, layer.bias), "features", layer, image, train).item() == np.inf
    assert 0 < ours(VirtualLogit(dimensions=2), layer, image, train).item() < np.inf


def test_a_mean_largest_logit_below_zero_counts_by_its_size():
    images = Images(0)
    layer = Linear(images.layer.weight, images.layer.bias - 10)
    energy = ours(Energy(), layer, images.queries)
    found = ours(VirtualLogit(dimensions=6), layer, images.queries, images.train) - energy
    detector = ood.ViM(None, 6, layer.weight, layer.bias)
    expected = energy - theirs(detector, "features", layer, images.queries, images.train)
    assert found.min() > 0
    assert (found - expected).abs().max() < 1e-3 * found.std()


@pytest.mark.parametrize(("bias", "boundary"), [(0.0, np.nan), (1.0, -np.inf)])
def test_classes_of_equal_weights_have_no_boundary(bias, boundary):
    layer = Linear(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([bias, 0.0, 0.0]))
    image = torch.tensor([[4.0, 1.0]])  # the mean of FEW is at 1, 1
    assert theirs(ood.fDBD(None, layer), "features", layer, image, FEW).numpy() == pytest.approx(boundary, nan_ok=True)
    expected = -(3 + bias) / np.sqrt(2) / 3
    assert ours(BoundaryDistance(), layer, image, FEW).item() == pytest.approx(expected, rel=1e-6)


def test_a_feature_on_the_mean_points_nowhere():
    mean = torch.ones(1, 2)
    assert theirs(ood.NCI(None, LAYER), "features", LAYER, mean, FEW).isnan().all()
    assert ours(NeuralCollapse(alpha=0.5), LAYER, mean, FEW).item() == -1.0
