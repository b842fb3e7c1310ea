"""The whole: pure, keyed by (seed, step, example), one warp, exact labels, and nothing at zero strength."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_sample_image

from jaxnets import train
from jaxnets.data import ArraySource, Batches
from jaxnets.data.augment import compose, parse
from jaxnets.data.device import on_device
from jaxnets.errors import UserError
from jaxnets.models import MODELS
from tests.rounding import assert_bytes_alike
from tests.several_devices import take_devices

KEY = jax.random.PRNGKey(3)
PHOTO = load_sample_image("china.jpg")
IMAGES = np.stack([PHOTO[i * 20 : i * 20 + 24, i * 30 : i * 30 + 32] for i in range(8)])
BATCH = {"x": IMAGES, "y": np.arange(8, dtype=np.int32), "index": np.arange(8, dtype=np.int32) * 100}
STRONG = [
    "rotation=30",
    "shift=0.2",
    "zoom=0.4",
    "horizontal_flip",
    "colour_jitter=0.3:0.3:0.3:0.1",
    "cutout=5",
]


@pytest.mark.parametrize(
    "text",
    [
        "rotation=0",
        "shift=0",
        "shear=0",
        "zoom=0",
        "zoom=1:1",
        "horizontal_flip=0",
        "vertical_flip=0",
        "pad_and_crop=0",
        "resize=24:32",
        "random_crop=1",
        "brightness=1:1",
        "channel_shift=0",
        "colour_jitter=0",
        "cutout=0",
        "rand_augment=0",
    ],
)
@pytest.mark.sampled(4)
def test_nothing_changes_at_zero_strength(text):
    images = IMAGES[:, :24, :24] if text == "random_crop=1" else IMAGES
    out = jax.jit(compose(*parse([text])))(KEY, 5, {**BATCH, "x": images})
    np.testing.assert_array_equal(out["x"], images)


def test_flips_with_certainty_are_exact():
    for text, flipped in (("horizontal_flip=1", IMAGES[:, :, ::-1]), ("vertical_flip=1", IMAGES[:, ::-1])):
        np.testing.assert_array_equal(compose(*parse([text]))(KEY, 0, BATCH)["x"], flipped)


def test_the_same_key_gives_the_same_bits_and_each_part_of_it_counts():
    augment = jax.jit(compose(*parse(STRONG)))
    first = np.asarray(augment(KEY, 7, BATCH)["x"])
    np.testing.assert_array_equal(augment(KEY, 7, BATCH)["x"], first)
    assert_bytes_alike(augment(KEY, jnp.int32(7), BATCH)["x"], first)
    for key, step, index in (
        (jax.random.PRNGKey(4), 7, BATCH["index"]),
        (KEY, 8, BATCH["index"]),
        (KEY, 7, BATCH["index"] + 1),
    ):
        other = augment(key, step, {**BATCH, "index": index})["x"]
        assert all((a != b).mean() > 0.5 for a, b in zip(np.asarray(other), first, strict=True))


@pytest.mark.slow
def test_an_example_is_changed_alike_wherever_it_stands():
    """In another place, in a shard of the batch, beside others: only seed, step and example decide."""
    augment = jax.jit(compose(*parse(STRONG)))
    whole = np.asarray(augment(KEY, 7, BATCH)["x"])
    order = np.random.RandomState(0).permutation(8)
    moved = augment(KEY, 7, {key: value[order] for key, value in BATCH.items()})["x"]
    np.testing.assert_array_equal(moved, whole[order])  # the same program; what follows are others
    half = augment(KEY, 7, {key: value[4:] for key, value in BATCH.items()})["x"]
    assert_bytes_alike(half, whole[4:])
    mesh = jax.sharding.Mesh(np.array(take_devices(4)), ("batch",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    sharded = augment(KEY, 7, jax.device_put(BATCH, spread))["x"]
    assert_bytes_alike(sharded, whole)


def test_one_warp_however_many_changes():
    def gathers(texts):
        jaxpr = str(jax.make_jaxpr(compose(*parse(texts)))(KEY, 0, BATCH))
        return jaxpr.count(" gather[")

    one = gathers(["rotation=9"])
    assert one == 4  # the four pixels around a place
    assert (
        gathers(["rotation=9", "shift=0.1", "shear=5", "zoom=0.2", "horizontal_flip", "random_crop=0.9"])
        == one
    )


def test_mixup_mixes_images_and_labels_in_one_proportion():
    out = jax.jit(compose(*parse(["mixup=1"]), classes=8))(KEY, 0, BATCH)
    labels = np.asarray(out["y"])
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    shares = labels[np.arange(8), BATCH["y"]]
    np.testing.assert_allclose(labels[np.arange(8), (BATCH["y"] + 1) % 8], 1 - shares, rtol=1e-6)
    assert np.ptp(shares) > 0.3
    share = shares[:, None, None, None]
    expected = share * IMAGES + (1 - share) * np.roll(IMAGES, -1, axis=0)
    assert np.abs(np.asarray(out["x"]) - expected).max() <= 0.501  # images stay bytes


def test_cutmix_gives_labels_by_the_area_that_is_there():
    stripes = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((8, 24, 32, 3), np.uint8)
    out = jax.jit(compose(*parse(["cutmix=1"]), classes=8))(KEY, 1, {**BATCH, "x": stripes})
    for number, (image, label) in enumerate(zip(np.asarray(out["x"]), np.asarray(out["y"]), strict=True)):
        own = (image[..., 0] == number).mean()
        assert set(np.unique(image)) <= {number, (number + 1) % 8}
        assert label[number] == pytest.approx(own, abs=1e-6)
        assert label.sum() == pytest.approx(1, abs=1e-6)
    assert 0.2 < np.asarray(out["y"])[np.arange(8), np.arange(8)].mean() < 0.95


def test_mixing_twice_mixes_what_is_mixed():
    out = compose(*parse(["mixup=1", "cutmix=1"]), classes=8)(KEY, 0, BATCH)
    np.testing.assert_allclose(np.asarray(out["y"]).sum(axis=1), 1, rtol=1e-5)
    assert (np.asarray(out["y"]) > 0).sum(axis=1).max() > 2


def test_the_last_rows_partner_in_a_partial_batch_is_the_first():
    source = ArraySource(IMAGES[:5], np.arange(5), list("abcde"))
    (*_, last) = Batches(source, 3).epoch()
    assert last["mask"].tolist() == [1, 1, 0]
    out = compose(*parse(["mixup=1"]), classes=5)(KEY, 0, last)
    labels = np.asarray(out["y"])[:2]
    np.testing.assert_allclose(labels[0, 3] + labels[0, 4], 1, rtol=1e-6)
    np.testing.assert_allclose(labels[1, 4] + labels[1, 3], 1, rtol=1e-6)


def test_alternating_flips_show_both_sides_in_any_two_epochs():
    augment = jax.jit(compose(*parse(["alternating_flip=3"])))
    epochs = [np.asarray(augment(KEY, step, BATCH)["x"]) for step in (0, 3, 6)]
    flipped = [(epoch == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3)) for epoch in epochs]
    assert 0 < flipped[0].sum() < 8
    np.testing.assert_array_equal(flipped[0], ~flipped[1])
    np.testing.assert_array_equal(flipped[0], flipped[2])
    np.testing.assert_array_equal(augment(KEY, 2, BATCH)["x"], epochs[0])


def test_training_with_augmentation_is_the_same_resident_streamed_and_resumed(tmp_path):
    source = ArraySource(IMAGES, BATCH["y"] % 2, ["a", "b"])
    model, optimizer = MODELS["mlp"](num_classes=2, widths=(4,)), optax.sgd(0.01)
    step = train.make_train_step(model, optimizer, augment=compose(*parse(["rotation=20", "zoom=0.2"])))
    ends = []
    for number, (epochs, resident) in enumerate((([3], True), ([3], False), ([1, 3], True))):
        for until in epochs:
            state = train.make_state(model, optimizer, (24, 32, 3))
            feed = on_device(Batches(source, 3, seed=0), resident)
            state, _ = train.fit(state, step, feed, epochs=until, keep=train.Keep(tmp_path / str(number)))
        ends.append(jax.device_get(state.params))
    # Resident and streamed, a value next to a half may become either byte: a 255th, in nine steps of 0.01.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=9 * 0.01 / 255), ends[0], ends[1])
    jax.tree.map(np.testing.assert_array_equal, ends[0], ends[2])


@pytest.mark.parametrize(
    "text, message",
    [
        ("rotate=3", r"unknown augmentation 'rotate' \(did you mean rotation\?\)"),
        ("rotation", "give its numbers as rotation=A:B"),
        ("rotation=x", "give its numbers as rotation=A:B"),
        ("rotation=1:2:3", "give its numbers as rotation=A:B"),
        ("zoom=1", "zoom from 0 to 2: it must be above 0"),
        ("zoom=0.9:0.5", "zoom from 0.9 to 0.5"),
    ],
)
def test_wrong_names_and_numbers(text, message):
    with pytest.raises(UserError, match=message):
        parse([text])


def test_wrong_combinations():
    with pytest.raises(UserError, match="needs the number of classes"):
        compose(*parse(["mixup"]))
    with pytest.raises(UserError, match="antialiasing goes with crops"):
        compose(*parse(["rotation=3"]), antialias=True)
    with pytest.raises(UserError, match="augmentation is for images"):
        compose(*parse(["rotation=3"]))(KEY, 0, {"x": np.zeros((2, 4), np.float32), "index": np.arange(2)})
