"""experiments/lenet_mnist.py: it stops where Keras would, and TensorBoard reads every parameter back."""

import keras
import pytest

from experiments import lenet_mnist


def keras_stops_after(losses, patience):
    """The epoch after which Keras's callback ends a training with these losses; None if it does not."""
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience)
    callback.set_model(model := keras.Sequential())
    model.stop_training = False  # as `fit` begins
    callback.on_train_begin()
    for epoch, loss in enumerate(losses, start=1):
        callback.on_epoch_end(epoch - 1, {"val_loss": loss})
        if model.stop_training:
            return epoch
    return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's reader
@pytest.mark.slow
def test_it_stops_where_keras_would(few, tmp_path):
    measured = lenet_mnist.main(patience=2, learning_rate=0.4, workdir=tmp_path)
    losses = [record["val_loss"] for record in measured["history"]]
    assert 2 < len(losses) < 80
    assert keras_stops_after(losses, patience=2) == len(losses)
    assert measured["parameters"] == lenet_mnist.DOCUMENTED["parameters"] == 61_706
    assert measured["val_loss after epoch 1"] == losses[0]

    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    seen = reader.EventAccumulator(str(tmp_path / "tensorboard"), {"histograms": 0}).Reload()
    layers = ("conv1", "conv2", "dense1", "dense2", "head")
    names = {f"{layer}/{part}" for layer in layers for part in ("kernel", "bias")}
    assert set(seen.Tags()["histograms"]) == names
    assert [event.step for event in seen.Histograms("conv2/kernel")] == list(range(1, len(losses) + 1))
    assert seen.Histograms("dense1/kernel")[0].histogram_value.num == 400 * 120
