"""experiments/cifar10_speedrun.py and its parts: beside NumPy, and one small training."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import cifar10_speedrun
from experiments.cifar10_speedrun import SHIFT, Plan, epoch_images, padded, step_by_step, votes, whole_program
from jaxnets import data, nn
from jaxnets.models import SpeedNet, whitening
from jaxnets.models.speednet import dirac


def images(count: int, side: int = 12, channels: int = 3) -> np.ndarray:
    """Smooth random images of bytes, as photographs are: neighbours go together."""
    x = np.cumsum(np.random.default_rng(0).normal(size=(count, side, side, channels)), axis=2)
    return np.uint8(np.clip(128 + 25 * x, 0, 255))


@pytest.mark.parametrize("channels", [1, 3])
def test_whitening_makes_outputs_uncorrelated_and_of_size_1(channels):
    x = np.float32(images(200, channels=channels)) - 128
    kernel, bias = whitening(jnp.asarray(x))
    out = np.asarray(nn.correlate(jnp.asarray(x), kernel)) + np.asarray(bias)
    half = 4 * channels
    np.testing.assert_allclose(out[..., half:], -out[..., :half], atol=1e-4)
    flat = np.float64(out[..., :half].reshape(-1, half))
    moments = flat.T @ flat / len(flat)
    # Epsilon shrinks what hardly varies: eigenvalue / (eigenvalue + epsilon), by NumPy.
    centred = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    patches = np.lib.stride_tricks.sliding_window_view(centred, (2, 2), (1, 2)).reshape(-1, half)
    values = np.linalg.eigvalsh(np.float64(patches.T @ patches) / len(patches))
    np.testing.assert_allclose(moments, np.diag(values / (values + 5e-4)), atol=2e-3)


@pytest.mark.parametrize("inputs, outputs", [(3, 8), (5, 2)])
def test_dirac_is_the_identity_on_the_channels_there_are(inputs, outputs):
    kernel = dirac(jax.random.key(0), (3, 3, inputs, outputs), jnp.float32)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, inputs)).astype(np.float32)
    same = min(inputs, outputs)
    out = nn.correlate(jnp.asarray(x), kernel, padding="same")
    np.testing.assert_array_equal(out[..., :same], x[..., :same])
    rest = np.asarray(kernel[..., same:])
    assert rest.size == 0 or 0.9 < np.abs(rest).max() * np.sqrt(9 * inputs) <= 1


def test_epochs_are_mirrored_in_turns_and_cropped_from_reflected_borders():
    x = np.random.default_rng(0).normal(size=(40, 5, 6, 2)).astype(np.float32)
    border = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(padded(jnp.asarray(x), SHIFT), border)
    sides, shifts = [], []
    for epoch in range(4):
        out, order = jax.jit(epoch_images)(jax.random.PRNGKey(3), epoch, border)
        assert sorted(order.tolist()) == list(range(40))
        side = np.zeros(40, int)
        for image, index in zip(np.asarray(out), order.tolist(), strict=True):
            crops = {
                (top, left): border[index, top : top + 5, left : left + 6]
                for top in range(2 * SHIFT + 1)
                for left in range(2 * SHIFT + 1)
            }
            plain = [where for where, crop in crops.items() if np.array_equal(crop, image)]
            turned = [where for where, crop in crops.items() if np.array_equal(crop[:, ::-1], image)]
            assert len(plain) + len(turned) == 1
            side[index] = len(turned)
            shifts += plain + turned
        sides.append(side)
    for before, after in itertools.pairwise(sides):
        np.testing.assert_array_equal(before, 1 - after)
    assert 10 < sides[0].sum() < 30
    assert len(set(shifts)) == (2 * SHIFT + 1) ** 2  # every shift is drawn


def test_votes_are_the_weighted_mean_of_six_views():
    class Mean:
        """A network whose logits are a pixel."""

        def apply(self, variables, x):
            return x[:, 0, 0] * variables

    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    border = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    whole = 0.5 * (x[:, 0, 0] + x[:, 0, 3])
    up = 0.5 * (border[:, 0, 0] + border[:, 0, 3])
    down = 0.5 * (border[:, 2, 2] + border[:, 2, 5])
    np.testing.assert_allclose(
        votes(Mean(), 1.0, jnp.asarray(x)), 0.5 * whole + 0.25 * (up + down), rtol=1e-6
    )


def small_sets(count: int) -> tuple:
    """Images with one bright quarter, which is their label."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, count).astype(np.int32)
    x = rng.integers(0, 120, (count, 10, 10, 3))
    for image, label in zip(x, y, strict=True):
        image[5 * (label // 2) :][:5, 3:7] += 60
        image[..., label % 3] += 40
    return jnp.asarray(x.astype(np.uint8)), jnp.asarray(y)


@pytest.mark.slow
def test_the_loss_falls():
    plan = Plan(SpeedNet((8,), 4), epochs=3, batch_size=16, steps=4, dtype=jnp.float32)  # quick to compile
    accuracy, loss = step_by_step(plan)(5, small_sets(64), small_sets(24))
    assert loss.tolist() == sorted(loss.tolist(), reverse=True)
    assert accuracy > 0.5  # of four classes


@pytest.mark.slow
def test_one_program_and_single_steps_are_the_same_training():
    plan = Plan(SpeedNet((4, 8, 8), 4), epochs=4, batch_size=16, steps=2, dtype=jnp.float32)
    sets = small_sets(40), small_sets(24)
    one, other = (make(plan)(5, *sets) for make in (whole_program, step_by_step))
    np.testing.assert_allclose(one[1], other[1], rtol=1e-4)
    assert abs(float(one[0]) - float(other[0])) < 0.05
    assert one[1].shape == (4,)


@pytest.mark.slow
def test_it_learns_digits_and_reports(tmp_path, capsys):
    digits = data.load("digits")
    assert digits.features.shape == (28, 28, 1)
    measured = cifar10_speedrun.main(
        dataset="digits", epochs=3, width=0.125, examples=400, seeds=1, batch_size=50, workdir=tmp_path
    )
    losses = [record["loss"] for record in measured["history"]]
    assert losses == sorted(losses, reverse=True)
    assert measured["accuracy"] > 0.8
    assert measured["dataset"] == "digits"
    assert "mean accuracy of 1" in capsys.readouterr().out
    with Image.open(tmp_path / "curves.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100


@pytest.mark.slow
def test_the_program_lowers_for_gpus_and_tpus_in_bfloat16():
    plan = Plan(SpeedNet((4, 8, 8), 10, dtype=jnp.bfloat16), 8, 100, 5, jnp.bfloat16)
    sets = [
        (jax.ShapeDtypeStruct((n, 32, 32, 3), jnp.uint8), jax.ShapeDtypeStruct((n,), jnp.int32))
        for n in (500, 60)
    ]
    seed = jax.ShapeDtypeStruct((), jnp.int32)
    exported = jax.export.export(whole_program(plan), platforms=["cuda", "tpu"])(seed, *sets)
    assert [leaf.shape for leaf in exported.out_avals] == [(), (8,)]
    assert "bf16" in exported.mlir_module()
