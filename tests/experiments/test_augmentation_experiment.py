"""experiments/augmentation.py: what is judged are all held-out images, each changed by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.augmentation import CHANGES, changed, main
from jaxnets import runs
from jaxnets.data.augment import compose_for, parse
from tests.rounding import assert_bytes_alike


@pytest.mark.slow
def test_both_are_judged_by_images_as_they_are_and_by_changed_ones(few, tmp_path):
    measured = main(epochs=2, seed=3, workdir=tmp_path)
    assert measured["parameters"] == 101_770
    augment = compose_for(few.features, parse(CHANGES))
    turned = changed(few.test, augment, seed=3)
    for name in ("without", "with"):
        run = runs.load_run(tmp_path / name)
        for kind, source in {"": few.test, " on changed images": turned}.items():
            right = run.probabilities(source.x).argmax(1) == few.test.y
            np.testing.assert_allclose(measured[f"val_accuracy {name}{kind}"], right.mean(), atol=1e-6)
    # An image by itself is changed as it was among others.
    alone = {"x": few.test.x[5:6], "y": few.test.y[5:6], "index": np.array([5], np.int32)}
    assert_bytes_alike(augment(jax.random.PRNGKey(3), jnp.int32(0), alone)["x"], turned.x[5:6])
    assert np.mean(turned.x != few.test.x) > 0.2
    with Image.open(tmp_path / "augmentation.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 200
    assert (tmp_path / "curves.png").exists()
