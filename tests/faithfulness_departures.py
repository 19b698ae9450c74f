"""What differs from the published code on purpose: what it does, what happens here, why, and which tests hold it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One difference. ``key`` names it for the pieces that it concerns; ``kept`` says where theirs still runs."""

    key: str
    published: str
    ours: str
    why: str
    kept: str = ""
    tests: tuple[str, ...]


PYTHON = "Python configs"
_BOTH = f"{PYTHON}, `loss/`"
LOSSES = (
    Departure(
        key="eta",
        published="CFL counts epochs from 1 and sets them against the loss's own `epochs`, whatever the stage trains: "
        "with 30 and factor 4, η runs from 0.862 to 1.046, and to 2.43 in its ImageNet-LT stage 2 of 60",
        ours="`cyclical_focal` spans the stage, counts from 0, and η stays in [0, 1]",
        why="above 1 the focal part has a negative weight",
        kept=_BOTH,
        tests=(
            "losses/test_cyclical_focal.py::test_the_shell_matches_the_published_code_in_timm_numbering",
            "test_contracts.py::test_cycle_matches_the_published_eta_counted_from_0",
            "test_legacy.py::test_eta_is_the_published_one_of_epochs_from_1",
        ),
    ),
    Departure(
        key="factor 1",
        published="division by zero in the last epoch with factor 1, and in the first with 1 epoch",
        ours="η is 0, as in its TIMM copy, and 1",
        why="a run ends with an error otherwise",
        tests=(
            "loss_doors/test_doors.py::test_where_the_published_loss_raises_the_door_gives_a_finite_one",
            "loss_doors/test_doors.py::test_a_single_epoch_has_eta_1_where_the_published_code_divides_by_zero",
        ),
    ),
    Departure(
        key="smoothing",
        published="CFL smooths labels by 0.1, always",
        ours="`label_smoothing`, 0.1 by default",
        why="a comparison with plain cross-entropy is one of smoothing as well",
        kept=_BOTH,
        tests=(
            "loss_doors/test_doors.py::test_cyclical_focal_matches_the_published_code_at_every_epoch",
            "test_legacy.py::test_eta_is_the_published_one_of_epochs_from_1",
        ),
    ),
    Departure(
        key="gamma_hc 0",
        published="`gamma_hc` 0 switches to the loss without a cycle",
        ours="`gamma_hc: 0` cycles between cross-entropy and focal loss; `eta: 0` is without",
        why="as in its TIMM copy: a value does not change which loss it is",
        kept=_BOTH,
        tests=(
            "test_legacy.py::test_gamma_hc_0_is_the_loss_without_a_cycle",
            "loss_doors/test_doors.py::test_gamma_hc_0_is_the_loss_without_a_cycle_and_without_an_epoch",
        ),
    ),
    Departure(
        key="soft targets",
        published="soft targets are hardened by argmax",
        ours="the loss is their mean over the classes",
        why="mixed labels are undone otherwise",
        kept="`loss/`",
        tests=("losses/test_cyclical_focal.py::test_soft_targets_average_the_losses_of_their_classes",),
    ),
    Departure(
        key="fractional gammas",
        published="gradients are NaN for gammas between 0 and 1 where a probability is 0 or 1",
        ours="the limit, which is finite",
        why="one sure image ends a run otherwise",
        tests=("losses/test_cyclical_focal.py::test_extreme_logits_give_the_exact_limits",),
    ),
    Departure(
        key="command line",
        published="defaults of CFL's command line overwrite the gammas and the factor of its config",
        ours="a YAML config's own are in force",
        why="a config says what runs",
        kept=f"{PYTHON}, each with a warning",
        tests=("test_legacy.py::test_the_command_line_overwrites_what_a_cfl_config_says",),
    ),
    Departure(
        key="centroid gradient",
        published="the centroids' gradient ignores the loss weight and divides by 1 + n and the batch size",
        ours="the same by default; `gradient: autograd` is the derivative",
        why="published results come from it; the derivative at weight 0.01 is another algorithm",
        tests=("losses/test_disc_centroids.py::test_autograd_is_the_derivative",),
    ),
    Departure(
        key="centroid optimizer",
        published="only if no criterion stands after FeatureLoss do the centroids train",
        ours="`memory.optim`, wherever it stands",
        why="order of keys is no setting",
        kept=f"{PYTHON}, with a warning",
        tests=("test_legacy.py::test_centroids_train_only_if_their_criterion_is_the_last_with_an_optimizer",),
    ),
)
NETWORKS = (
    Departure(
        key="zero features",
        published="logits and gradients of the cosine classifier are NaN for a zero feature",
        ours="logits are 0, gradients the derivative",
        why="one dead image ends a run otherwise",
        tests=("networks/test_cosine.py::test_a_zero_feature_is_finite_where_the_published_one_is_not",),
    ),
    Departure(
        key="feature at a centroid",
        published="meta-embedding gives NaN where a feature is a centroid",
        ours="the distance is at least 10⁻³, so reachability at most 10⁴",
        why="the same",
        tests=(
            "networks/test_meta_embedding.py::test_a_feature_at_a_centroid_is_finite_where_the_published_one_is_not",
        ),
    ),
    Departure(
        key="new attention",
        published="the network's constructor draws the attention's last convolution too, which its own file sets to 0",
        ours="a new attention is the identity",
        why="stage 2 starts from the network that stage 1 trained",
        kept=PYTHON,
        tests=(
            "networks/test_resnet.py::test_attention_is_sized_from_the_feature_map",
            "published/test_published_networks.py::test_a_published_attention_starts_at_random_and_the_rest_as_ours",
        ),
    ),
    Departure(
        key="image size",
        published="ResNets take images of 224 x 224, attention maps of 7 x 7",
        ours="any size; attention is sized from the map",
        why="other data sets have other images",
        tests=("networks/test_resnet.py::test_attention_is_sized_from_the_feature_map",),
    ),
    Departure(
        key="dropout",
        published="the option `dropout` is ignored",
        ours="it drops features",
        why="an option has an effect, or is an error",
        kept=f"{PYTHON}, with a warning",
        tests=(
            "networks/test_resnet.py::test_dropout_works_and_only_in_training",
            "test_legacy.py::test_values_go_in_by_their_order_and_names_do_not_count",
        ),
    ),
    Departure(
        key="frozen children",
        published="`fix` freezes weights by their names, while BatchNorm statistics move on",
        ours="frozen children rest, statistics included; `rest: false` lets these move",
        why="a frozen network gives the same features all along",
        kept=PYTHON,
        tests=(
            "networks/test_pair.py::test_frozen_children_keep_weights_and_statistics_in_training",
            "test_run.py::test_weights_frozen_without_rest_keep_moving_their_statistics",
            "test_legacy.py::test_places_lt_starts_from_caffe_weights_and_freezes_by_name",
        ),
    ),
    Departure(
        key="several GPUs",
        published="DataParallel splits the centroids over the GPUs, so that stage 2 fails on more than one",
        ours="they stay whole; under torchrun too",
        why="both stages run on any number of GPUs",
        tests=(
            "test_parallel.py::test_replicas_give_the_outputs_and_gradients_of_one_device",
            "test_processes.py::test_processes_equal_one_in_both_stages",
        ),
    ),
    Departure(
        key="precision",
        published="float32",
        ours="float32, or bfloat16 on a GPU made for it: [`compute.precision`](computing.md)",
        why="speed, where rounding is known to be harmless",
        kept=PYTHON,
        tests=(
            "test_computing.py::test_the_device_decides_what_is_left_to_it",
            "test_legacy.py::test_each_published_form_is_a_config_whose_parts_take_their_options",
        ),
    ),
    Departure(
        key="unfinished forms",
        published="the cosine classifier stops a stage with an error; so does a ResNet-152 that starts from nothing",
        ours="both train",
        why="there is nothing to stop for",
        tests=("test_faithfulness.py::test_forms_that_stop_there_with_an_error_are_configs",),
    ),
)
