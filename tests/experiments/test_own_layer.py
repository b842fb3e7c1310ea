"""experiments/own_layer.py: beside the library, and trainable. (Beside Keras: tests/nn/test_conv.py)"""

import pytest

from experiments.own_layer import DOCUMENTED, main


@pytest.mark.slow
def test_the_layer_is_the_librarys_and_learns(tmp_path):
    measured = main(epochs=2, workdir=tmp_path)
    assert {name: measured[name] for name in DOCUMENTED} == DOCUMENTED
    assert measured["difference of values"] == pytest.approx(0, abs=1e-6)
    assert measured["difference of gradients"] == pytest.approx(0, abs=1e-5)
    # kernels of 5x5 on 1 and 6 channels without padding, then 4x4x16 - 120 - 84 - 10
    assert measured["parameters"] == 26 * 6 + 151 * 16 + 257 * 120 + 121 * 84 + 85 * 10
    assert measured["val_accuracy"] > 0.75  # by chance it is 0.1
    assert (tmp_path / "curves.png").exists()
