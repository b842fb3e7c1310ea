"""experiments/cnn_mnist.py: steps, draws and starts are the documents'."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from experiments import cnn_mnist
from jaxnets import runs
from jaxnets.errors import UserError

STEPS = {"drawn": 1_001, "dropout": 2_000, "dropout_epochs": 10 * 938}  # 938 batches of 64 in 60,000


@pytest.mark.parametrize("name", STEPS)
def test_as_many_steps_as_documented(name):
    variant = cnn_mnist.VARIANTS[name]
    assert variant.epochs * (variant.every or -(-60_000 // variant.batch_size)) == STEPS[name]


@pytest.mark.slow
def test_a_small_start_and_small_steps(few, tmp_path, monkeypatch):
    short = cnn_mnist.VARIANTS["dropout"]._replace(batch_size=4, every=3)
    monkeypatch.setitem(cnn_mnist.VARIANTS, "dropout", short)
    measured = cnn_mnist.main(variant="dropout", epochs=2, workdir=tmp_path)
    assert measured["parameters"] == 3_274_634
    assert [record["step"] for record in measured["history"]] == [3, 6]
    assert all("val_accuracy" in record for record in measured["history"])
    variables = jax.tree.map(np.asarray, runs.load_run(tmp_path).variables)
    moved = 6 * 1.1e-4  # a step of Adam is hardly longer than its rate
    for path, values in flatten_dict(variables["params"]).items():
        if path[-1] == "kernel":  # cut at two deviations of 0.01; what is cut leaves .88 of the deviation
            assert np.abs(values).max() < 0.02 + moved
            assert values.std() == pytest.approx(0.0088, rel=0.1)
        else:
            assert np.abs(values - 0.1).max() < moved
    assert (tmp_path / "curves.png").exists()


def test_an_unknown_variant():
    with pytest.raises(UserError, match=r"unknown variant 'drop' \(did you mean dropout\?\); known: drawn, "):
        cnn_mnist.main(variant="drop")
