import numpy as np
import pytest

from experiments import yogurt


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("yogurt")
    measured = yogurt.main(workdir=workdir)
    assert (workdir / "weights.png").exists()
    return measured


# Printed by the document: after some steps (counted from 0), and at the end.
PRINTED = {
    "squared error": {
        14_000: ["0.9993659", "0.999166"],
        14_500: ["1.0002553", "0.99838644"],
        14_999: ["1.0009792", "0.9977485"],
    },
    "cost 1, profit 99": {
        9_000: ["1.1707956", "1.0338644"],
        9_500: ["1.1611756", "1.0651482"],
        9_999: ["1.1626335", "1.1191947"],
    },
    "cost 99, profit 1": {
        9_000: ["0.8042901", "0.7632218"],
        9_500: ["0.8998995", "0.82509875"],
        9_999: ["0.9205433", "0.9186459"],
    },
}


# All processors round alike here: but for x @ w no product meets a sum that it could be fused with, and NumPy
# gives these digits with the products in x @ w rounded first or not.
@pytest.mark.parametrize("name", PRINTED)
def test_every_printed_digit(measured, name):
    for step, digits in PRINTED[name].items():
        assert [str(w) for w in measured["paths"][name][step]] == digits


# The same scripts under TensorFlow 2.21, which rounds otherwise: two units of the last place of 3.8 at most.
TENSORFLOW = {
    "squared error": {0: (-0.8096240758895874, 1.4855157136917114), 500: (-0.21934732794, 1.69848656654)},
    "cost 1, profit 99": {0: (2.08559250831604, 3.847625732421875), 500: (1.18307554722, 1.16274821758)},
}


@pytest.mark.parametrize("name", TENSORFLOW)
def test_first_steps_under_tensorflow(measured, name):
    for step, weights in TENSORFLOW[name].items():
        np.testing.assert_allclose(measured["paths"][name][step], weights, atol=5e-7)
