"""What differs from the published code on purpose in the data, the metrics and the run around the parts."""

from __future__ import annotations

from tests.faithfulness_departures import PYTHON, Departure

DATA = (
    Departure(
        key="random numbers",
        published="draws come from unseeded global generators",
        ours="each draw has a seeded source of its own, so that draws are others; the law is the same",
        why="a run can be repeated and resumed",
        kept="orders of images and first weights from files ([how](computing.md#order-and-weights-from-files))",
        tests=(
            "samplers/test_class_aware.py::test_law_of_golden_and_of_ours",
            "samplers/test_class_aware.py::test_resumes_in_the_middle_of_all_cycles",
        ),
    ),
    Departure(
        key="images of an epoch",
        published="an epoch ends after ⌊N / batch⌋ steps of the oversampled pass; what was read ahead is lost",
        ours="as many steps; N images are drawn, and a last batch that is not full is lost, unless it is the only one",
        why="what comes next does not depend on how far ahead was read",
        tests=(
            "samplers/test_class_aware.py::test_an_epoch_has_as_many_images_as_the_training_set",
            "data/test_batches.py::test_steps",
        ),
    ),
    Departure(
        key="classes without images",
        published="the class-aware sampler stops with an error where labels have a gap",
        ours="such a class is left out",
        why="splits of one's own may have one",
        tests=("samplers/test_class_aware.py::test_gaps_in_the_labels_are_no_classes",),
    ),
    Departure(
        key="empty classes",
        published="class means stop with an error where a class has no image",
        ours="its centroid is 0",
        why="the same",
        tests=("networks/test_class_means.py::test_equal_a_loop_over_classes_with_zero_for_empty_ones",),
    ),
    Departure(
        key="resizing",
        published="images are decoded and resized by Pillow",
        ours="by torchvision's tensor kernels: a few pixels of a thousand differ by a grey level of 256",
        why="speed",
        tests=("test_faithfulness.py::test_resized_images_are_those_of_pillow_but_for_a_grey_level",),
    ),
    Departure(
        key="colour jitter",
        published="the order of brightness, contrast and saturation is drawn for each image; each step rounds to bytes",
        ours="the order is drawn for each batch, factors for each image; nothing is rounded in between",
        why="a batch is worked on at once, on the GPU if there is one",
        tests=(
            "transforms/test_colour_jitter.py::test_the_whole_is_some_order_of_the_steps_with_the_factors_drawn",
            "transforms/test_colour_jitter.py::test_each_step_is_torchvisions",
        ),
    ),
)
METRICS = (
    Departure(
        key="empty groups",
        published="an accuracy of nothing is NaN (OLTR) or 0 (classifier-balancing)",
        ours="`null`",
        why="neither is a result",
        tests=("test_evaluation.py::test_empty_shot_groups_are_none",),
    ),
    Departure(
        key="F of nothing",
        published="division by zero in the F-measure where nothing is right, or nothing retrieved",
        ours="`null`",
        why="the same",
        tests=("metrics/test_metrics_golden.py::test_metrics_after_rejection_match_the_published_code",),
    ),
    Departure(
        key="F-measures",
        published="two definitions under one name, by the date of the checkout",
        ours="both, and two more, each under [a name of its own](metrics.md#why-four-f-measures)",
        why="they are several points apart on the same predictions",
        tests=("metrics/test_open_set.py::test_the_two_published_measures_part_as_soon_as_known_images_are_rejected",),
    ),
)
RUNS = (
    Departure(
        key="missing weights",
        published="what a checkpoint lacks stays random, and what it has besides is dropped, in silence",
        ours="an error that names them. Children that a stage adds may be missing, each whole, and the log says so",
        why="a network half at random looks like a bad method",
        tests=(
            "foreign/test_checkpoints.py::test_a_checkpoint_that_does_not_fill_the_pair_is_refused_and_changes_nothing",
            "published/test_published_stage.py::test_a_child_may_be_missing_whole_but_not_in_part",
        ),
    ),
    Departure(
        key="plain stage 1",
        published="stage 2 of CFL starts from the plain stage 1",
        ours="`init_from` names the config that a stage starts from",
        why="a result says what it comes from",
        kept=f"{PYTHON}, with a warning",
        tests=("test_legacy.py::test_a_cfl_stage_2_starts_from_the_plain_stage_1_and_says_so",),
    ),
    Departure(
        key="nothing right",
        published="training ends with an error, and without weights, if no validation image was ever right",
        ours="of equal epochs the first is kept",
        why="hours are not lost",
        tests=("test_faithfulness.py::test_an_epoch_without_a_right_image_is_kept_if_there_is_no_better",),
    ),
    Departure(
        key="crashes",
        published="weights are stored after the last epoch; `--test` removes the training log",
        ours="after each epoch, whole; evaluating touches nothing of the run",
        why="the same",
        tests=(
            "test_run.py::test_a_run_cut_anywhere_ends_with_the_same_weights_and_metrics",
            "test_run.py::test_evaluating_touches_neither_log_nor_checkpoints",
        ),
    ),
    Departure(
        key="cooldown",
        published="in CFL's TIMM copy the temperature counts other epochs than loss, weight decay and clipping",
        ours="all count those of the stage",
        why="they are one cycle",
        tests=("test_schedules.py::test_cyclical_matches_cfl",),
    ),
    Departure(
        key="weight decay and clipping",
        published="there, cyclical weight decay and clipping exclude each other; one parameter group alone is changed",
        ours="every number of every group may be a schedule",
        why="each is an option of its own",
        tests=("test_training.py::test_every_scalar_of_a_group_can_be_scheduled",),
    ),
)
