"""experiments/cifar10.py: every network on few grey images; ResNet-18's penalty by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cifar10 import DOCUMENTED, SYSTEMS, head_l2, main
from jaxnets import runs
from jaxnets.errors import UserError

# At 28x28x1, by hand: kernels of 5x5 on 1 and 6 channels, then 4x4x16 - 120 - 84 - 10.
LENET_HERE = (25 + 1) * 6 + (150 + 1) * 16 + 257 * 120 + 121 * 84 + 85 * 10


@pytest.mark.slow
def test_lenet_on_grey_images(few, tmp_path):
    measured = main(model="lenet5_sigmoid", epochs=1, workdir=tmp_path)
    assert measured["parameters"] == DOCUMENTED["lenet5_sigmoid"]["parameters"] == 62_006
    assert measured["parameters_here"] == LENET_HERE
    assert measured["step"] == 2  # 48 images in batches of 32
    assert measured["val_loss"] == pytest.approx(np.log(10), abs=0.5)  # it knows nothing yet
    assert runs.load_run(tmp_path).config["classes"] == list("0123456789")
    assert {path.name for path in tmp_path.glob("*.png")} >= {"curves.png", "predictions.png"}


def test_the_penalty_is_of_the_heads_kernel_alone():
    kernel = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    params = {
        "predictions": {"kernel": jnp.array(kernel), "bias": jnp.full(3, 7.0)},
        "conv1_conv": {"kernel": jnp.full((3, 3, 1, 2), 9.0)},
    }
    value, grads = jax.value_and_grad(head_l2)(params)
    assert value == pytest.approx(0.01 * np.sum(kernel**2), rel=1e-6)
    np.testing.assert_allclose(grads["predictions"]["kernel"], 0.02 * kernel, rtol=1e-6)
    assert not np.any(grads["conv1_conv"]["kernel"])
    assert not np.any(grads["predictions"]["bias"])


def test_an_unknown_network():
    with pytest.raises(UserError, match=r"unknown model 'lenet5'.*; known: baseline, lenet5_sigmoid"):
        main(model="lenet5")


@pytest.mark.slow
@pytest.mark.parametrize("model", SYSTEMS)
def test_every_network_on_grey_images(few, tmp_path, model):
    measured = main(model=model, epochs=1, batch_size=16, workdir=tmp_path)
    assert measured["parameters"] == DOCUMENTED[model]["parameters"]
    assert np.isfinite(measured["val_loss"])
    variables = runs.load_run(tmp_path).variables
    means = [
        v for path, v in jax.tree.leaves_with_path(variables.get("batch_stats", {})) if "mean" in str(path)
    ]
    # The document's Inception leaves the running statistics as they were; all others move them.
    assert any(np.any(mean) for mean in means) == (model not in ("inception10", "lenet5_sigmoid"))
