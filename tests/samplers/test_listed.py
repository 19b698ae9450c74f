"""The order of images from a file: read from both forms, the same when resumed, and mistakes said in one line."""

import numpy as np
import pytest
import torch

from oltr import testing
from oltr.contracts import Progress, UserError
from oltr.samplers.listed import Listed

ROWS = [[2, 0, 0, 3], [1, 1, 2, 3]]


def listed(file, *, images=4):
    return Listed(file=str(file), labels=torch.zeros(images, dtype=torch.int64))


def orders(sampler, epochs):
    return [sampler.indices(Progress(epoch=epoch, epochs=epochs)).tolist() for epoch in range(epochs)]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_an_array_lists_an_epoch_a_row(tmp_path, kind):
    np.save(tmp_path / "order.npy", np.array(ROWS, dtype=kind))
    assert orders(listed(tmp_path / "order.npy"), 2) == ROWS
    assert listed(tmp_path / "order.npy").indices(Progress(epoch=0, epochs=1)).dtype == torch.int64


def test_a_text_lists_an_epoch_a_line_and_its_epochs_differ_in_length(tmp_path):
    (tmp_path / "order.txt").write_text("2 0  0\n 3 1 1 2 3 \n")
    assert orders(listed(tmp_path / "order.txt"), 2) == [[2, 0, 0], [3, 1, 1, 2, 3]]


def test_what_is_handed_out_is_a_copy(tmp_path):
    np.save(tmp_path / "order.npy", np.array(ROWS))
    sampler = listed(tmp_path / "order.npy")
    sampler.indices(Progress(epoch=0, epochs=2)).zero_()
    assert orders(sampler, 2) == ROWS


def test_it_keeps_the_promises_of_a_sampler(tmp_path):
    rows = torch.randint(17, (6, 11), generator=torch.Generator().manual_seed(0)).numpy()
    np.save(tmp_path / "order.npy", rows)
    testing.check_sampler("listed", options={"file": str(tmp_path / "order.npy")})


def test_a_run_goes_on_with_the_order_that_it_began_with(tmp_path):
    np.save(tmp_path / "order.npy", np.array(ROWS))
    (tmp_path / "order.txt").write_text("2 0 0 3\n1 1 2 3\n")
    state = listed(tmp_path / "order.npy").state_dict()
    listed(tmp_path / "order.txt").load_state_dict(state)  # the same order in another form
    (tmp_path / "order.txt").write_text("2 0 0 3\n1 1 3 2\n")
    with pytest.raises(UserError, match=r"order\.txt lists another order than when the run began"):
        listed(tmp_path / "order.txt").load_state_dict(state)


def test_too_few_epochs_are_told_in_the_first(tmp_path):
    np.save(tmp_path / "order.npy", np.array(ROWS))
    with pytest.raises(UserError, match=r"lists the images of 2 epochs, but the stage has 3$"):
        listed(tmp_path / "order.npy").indices(Progress(epoch=0, epochs=3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n2 4\n", "order.txt: epoch 2 lists the image 4, but there are 4: indices are 0 to 3"),
        ("0 -1\n", "order.txt: epoch 1 lists the image -1, but there are 4: indices are 0 to 3"),
        ("0 1\n\n2\n", "order.txt: epoch 2 lists no image"),
        ("0 1\n2 x\n", "order.txt:2 is no line of indices: invalid literal for int() with base 10: 'x'"),
        ("0 1.5\n", "order.txt:1 is no line of indices: invalid literal for int() with base 10: '1.5'"),
        (f"{10**30}\n", "order.txt:1 is no line of indices: "),
        ("\xff\xfe", "order.txt is no text; an array is told by the ending .npy"),
    ],
)
def test_mistakes_in_a_text(tmp_path, text, message):
    (tmp_path / "order.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as error:
        listed(tmp_path / "order.txt")
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, 4]]), "epoch 1 lists the image 4, but there are 4"),
        (np.array([0, 1]), r"holds int64 \[2\]; the order of images is an array of integers \[epochs, n\]"),
        (np.array([[0.0, 1.0]]), r"holds float64 \[1, 2\]"),
        (np.array([[True]]), r"holds bool \[1, 1\]"),
        (np.array([[{}]], dtype=object), "is no .npy file of integers"),
        (np.empty((1, 0), dtype=np.int64), "epoch 1 lists no image"),
    ],
)
def test_mistakes_in_an_array(tmp_path, array, message):
    np.save(tmp_path / "order.npy", array)
    with pytest.raises(UserError, match=message):
        listed(tmp_path / "order.npy")


def test_a_file_that_is_missing_broken_or_none(tmp_path):
    with pytest.raises(UserError, match=r"gone\.npy: no such file; it lists the order of the training images"):
        listed(tmp_path / "gone.npy")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        listed(tmp_path)
    np.savez(tmp_path / "several.npz", first=np.array(ROWS))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(UserError, match=r"several\.npy is no \.npy file of integers"):
        listed(tmp_path / "several.npy")
    np.save(tmp_path / "cut.npy", np.array(ROWS))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-9])
    (tmp_path / "empty.npy").touch()
    (tmp_path / "empty.txt").touch()
    for name in ("cut.npy", "empty.npy"):
        with pytest.raises(UserError, match=f"{name} is no .npy file of integers"):
            listed(tmp_path / name)
    with pytest.raises(UserError, match="lists the images of 0 epochs, but the stage has 1"):
        listed(tmp_path / "empty.txt").indices(Progress(epoch=0, epochs=1))
