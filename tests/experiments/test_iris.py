"""experiments/iris.py: the documented figures. (Beside Keras: tests/train/test_whole.py)"""

import pytest
from PIL import Image

from experiments.iris import main
from jaxnets.errors import UserError


def test_documented_figures_and_a_picture(tmp_path, capsys):
    measured = main(workdir=tmp_path)
    assert measured["parameters"] == 15
    assert measured["epoch"] == 500
    assert measured["val_accuracy"] == 1.0
    assert round(measured["accuracy"], 4) == 0.9667
    assert measured["loss"] == pytest.approx(0.3333, abs=0.01)
    judged = [record["epoch"] for record in measured["history"] if "val_loss" in record]
    assert judged == list(range(20, 501, 20))
    assert "val_accuracy  1.0         1.0" in capsys.readouterr().out
    with Image.open(tmp_path / "curves.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100  # something is drawn


def test_too_few_epochs_to_judge_any_are_refused(tmp_path):
    with pytest.raises(UserError, match="validation every 20 epochs: of the epochs 1 to 19 that is none"):
        main(epochs=19, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
