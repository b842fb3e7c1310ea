"""jaxnets.plots: what is drawn is where and what it should be, read back from the axes or the pixels."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from jaxnets import plots
from jaxnets.errors import UserError


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, in order."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    return figures


@pytest.mark.parametrize("number", [10, 26])
def test_confusion_writes_every_count_where_it_belongs(drawn, tmp_path, number):
    matrix = np.random.default_rng(0).poisson(1.0, (number, number)) + 90 * np.eye(number, dtype=int)
    plots.confusion(matrix, [chr(65 + i) for i in range(number)], tmp_path / "confusion.png")
    axis = drawn[0].axes[0]
    written = np.zeros_like(matrix)
    for text in axis.texts:
        column, row = text.get_position()
        written[row, column] = int(text.get_text())
    np.testing.assert_array_equal(written, matrix)
    recalls = [tick.get_text() for tick in axis.child_axes[0].get_yticklabels()]
    assert recalls == [f"{matrix[i, i] / matrix[i].sum():.1%}" for i in range(number)]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true")


def test_confusion_of_a_class_without_examples_and_of_very_many_classes(drawn, tmp_path):
    plots.confusion(np.diag([3, 0]), ["a", "b"], tmp_path / "two.png")
    assert [tick.get_text() for tick in drawn[0].axes[0].child_axes[0].get_yticklabels()] == ["100.0%", "-"]
    plots.confusion(np.eye(100), [str(i) for i in range(100)], tmp_path / "many.png")
    assert not drawn[1].axes[0].texts


def test_confusion_of_groups_of_classes_says_so(drawn, tmp_path):
    plots.confusion(np.eye(50), [str(i) for i in range(50)], tmp_path / "groups.png", correct=0.25, group=4)
    axis = drawn[0].axes[0]
    assert axis.get_ylabel() == "true, 4 classes a row"
    assert axis.get_title() == "25.00% of 50 right"


def test_kernels_of_three_channels_are_colours_around_grey(drawn, tmp_path):
    kernel = np.zeros((2, 2, 3, 2))
    kernel[0, 0, 0, 0], kernel[1, 1, 2, 1] = 0.2, -0.4
    plots.kernels(kernel, tmp_path / "kernels.png")
    first, second = (axis.images[0].get_array() for axis in drawn[0].axes[:2])
    np.testing.assert_allclose(first[0, 0], [0.75, 0.5, 0.5])
    np.testing.assert_allclose(second[1, 1], [0.5, 0.5, 0.0], atol=1e-7)
    np.testing.assert_allclose(first[1], 0.5)


def test_kernels_of_one_channel_and_signed_maps_have_zero_in_the_middle(drawn, tmp_path):
    values = np.array([[[1.0, -3.0]], [[0.5, 2.0]]])  # (2, 1, 2)
    plots.kernels(values[:, :, None], tmp_path / "kernels.png")
    plots.feature_maps(values, tmp_path / "maps.png", titles=("one", "two"))
    plots.feature_maps(abs(values), tmp_path / "relu.png")
    shown = [[axis.images[0] for axis in figure.axes[:2]] for figure in drawn]
    assert [image.get_clim() for image in (shown[0][0], shown[1][1], shown[2][0])] == [
        (-3, 3),
        (-3, 3),
        (0.5, 3),
    ]
    np.testing.assert_array_equal(shown[1][1].get_array(), values[..., 1])
    assert [axis.get_title() for axis in drawn[1].axes[:2]] == ["one", "two"]


def test_the_signed_map_stays_ordered_in_a_grey_print():
    from matplotlib import colormaps

    from jaxnets.plots.pictures import SIGNED

    red, green, blue, _ = colormaps[SIGNED](np.linspace(0, 1, 64)).T
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > 0).all()
    middle = colormaps[SIGNED](0.5)[:3]
    assert max(middle) - min(middle) < 0.05  # grey


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (9, 4)])
def test_kernels_that_cannot_be_drawn_are_refused(shape, tmp_path):
    with pytest.raises(UserError, match="to be drawn"):
        plots.kernels(np.zeros(shape), tmp_path / "kernels.png")


def test_boxes_lie_on_their_pixels_with_a_legend(drawn, tmp_path):
    black = np.zeros((40, 20, 3), np.uint8)
    plots.images(
        [black, black],
        ["one", "two!"],
        tmp_path / "boxes.png",
        boxes={
            "true": np.array([[0.25, 0.5, 0.75, 1.0], [0, 0, 0.5, 0.5]]),
            "predicted": np.array([[[0.2, 0.5, 0.7, 1.0]], [[0, 0, 0.5, 0.5]]]),
        },
    )
    first = drawn[0].axes[0]
    labelled = {
        patch.get_label(): patch for patch in first.patches if patch.get_label() in ("true", "predicted")
    }
    assert labelled["true"].get_bbox().bounds == (9.5, 9.5, 10, 20)  # x, y, width, height in pixels
    assert labelled["predicted"].get_bbox().bounds == (9.5, 7.5, 10, 20)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["true", "predicted"]
    assert (first.get_title(), drawn[0].axes[1].get_title()) == ("one", "two!")


def test_curves_over_steps_pass_over_what_was_not_judged(drawn, tmp_path):
    history = [{"epoch": 1, "step": 50, "loss": 2.0, "accuracy": 0.5}]
    history += [
        {"epoch": 2, "step": 100, "loss": 1.0, "accuracy": 0.75, "val_loss": 1.5, "val_accuracy": 0.6}
    ]
    plots.curves(history, tmp_path / "curves.png", over="step")
    accuracy, loss = drawn[0].axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[50, 2], [100, 1]], [[100, 1.5]]]
    assert (accuracy.get_ylabel(), loss.get_ylabel(), loss.get_xlabel()) == ("accuracy", "loss", "step")


@pytest.mark.parametrize("last", [10, 27, 80, 500, 1001, 9380, 46_900, 987_654])
def test_the_numbers_below_a_curve_stay_apart(drawn, tmp_path, last):
    history = [
        {"epoch": step, "step": step, "loss": 1.0, "val_loss": 0.5}
        for step in np.linspace(last / 10, last, 10, dtype=int)
    ]
    plots.curves(history, tmp_path / "curves.png", over="step")
    plots.compare({"one": history}, tmp_path / "compare.png", measures=("loss",))
    for figure in drawn:
        left, right = figure.axes[0].get_xlim()
        labels = figure.axes[0].get_xticklabels()
        shown = [label for label in labels if left <= label.get_position()[0] <= right]
        assert 2 <= len(shown) <= 10
        assert all(label.get_text().isdecimal() for label in shown)
        boxes = [label.get_window_extent() for label in shown]
        assert all(after.x0 - before.x1 > 4 for before, after in pairwise(boxes))


def test_the_names_of_before_are_still_there(tmp_path):
    plots.curves([{"epoch": 1, "loss": 2.0, "accuracy": 0.5}], tmp_path / "deeper" / "curves.png")
    with Image.open(tmp_path / "deeper" / "curves.png") as picture:
        assert picture.size == (960, 360)


HISTORY = [{"epoch": 1, "step": 5, "loss": 2.0, "accuracy": 0.5}, {"epoch": 2, "step": 10, "loss": 1.0}]
POINTS = np.array([[0.1, 0.2], [0.8, 0.9]])
DRAWINGS = {
    "curves": lambda *path: plots.curves(HISTORY, *path),
    "compare": lambda *path: plots.compare({"one": HISTORY, "two": HISTORY[:1]}, *path),
    "lines": lambda *path: plots.lines({"y": {"a": ([1, 2], [3, 4])}}, *path, xlabel="x"),
    "race": lambda *path: plots.race({"sgd": {"loss": [1, 2], "accuracy": [0, 1], "seconds": 3.0}}, *path),
    "decision": lambda *path: plots.decision(
        {"a": np.eye(3)}, np.linspace(0, 1, 3), POINTS, np.arange(2), *path
    ),
    "precision_recall": lambda *path: plots.precision_recall([0, 1], [1, 0.5], [1, 0.5], 0.75, *path),
    "confusion": lambda *path: plots.confusion(np.eye(2), ["a", "b"], *path),
    "images": lambda *path: plots.images([np.zeros((4, 4, 1), np.uint8)], ["a"], *path),
    "kernels": lambda *path: plots.kernels(np.ones((3, 3, 1, 2)), *path),
    "feature_maps": lambda *path: plots.feature_maps(np.ones((4, 4, 2)), *path),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_drawing_is_a_figure_and_the_picture_in_the_file_that_a_notebook_shows(name, tmp_path):
    assert DRAWINGS.keys() == {one for one in plots.__all__ if one.islower()} - {"figure"}
    path = tmp_path / "deeper" / "one.png"
    drawing = DRAWINGS[name](str(path))
    assert isinstance(drawing, Figure)
    with Image.open(path) as saved, Image.open(BytesIO(DRAWINGS[name]()._repr_png_())) as shown:
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(saved))  # outside of our style's context
    drawing.axes[0].set_title("of my own")
    drawing.savefig(tmp_path / "again.png")
    assert pyplot.get_fignums() == []


def test_what_was_not_measured_has_no_panel():
    (axis,) = plots.curves([{"epoch": 1, "loss": 2.0, "val_loss": 1.0}]).axes
    assert axis.get_ylabel() == "loss"
    with pytest.raises(UserError, match="no loss to draw"):
        plots.curves([])


def test_the_epoch_with_the_least_held_out_loss_is_marked_and_the_title_says_what_was_trained(
    drawn, tmp_path
):
    losses = [2.0, 1.0, 1.5]
    history = [
        {"epoch": 1 + index, "loss": loss, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 1 / loss}
        for index, loss in enumerate(losses)
    ]
    plots.curves(history, tmp_path / "curves.png", title="lenet5 on digits")
    for axis, best in zip(drawn[0].axes, (1.0, 1.0), strict=True):
        star = axis.lines[-1]
        assert star.get_marker() == "*"
        assert star.get_xydata().tolist() == [[2, best]]
        assert star.get_label() == "least loss held out: epoch 2"
    assert drawn[0].get_suptitle() == "lenet5 on digits"


def test_a_label_has_one_colour_in_all_panels(drawn, tmp_path):
    line = (np.arange(3), np.arange(3))
    panels = {"price": {"real": line, "today": line, "predicted": line}, "error": {"predicted": line}}
    plots.lines(panels, tmp_path / "lines.png", xlabel="day")
    price, error = drawn[0].axes
    colours = {each.get_label(): each.get_color() for each in price.lines}
    assert len(set(colours.values())) == 3
    assert error.lines[0].get_color() == colours["predicted"]


def test_a_race_draws_means_of_neighbouring_epochs(drawn, tmp_path):
    swinging = {"loss": np.tile([0.0, 1.0], 250), "accuracy": np.tile([1.0, 0.0], 250), "seconds": 1.0}
    plots.race({"a": swinging}, tmp_path / "race.png")
    x, y = drawn[0].axes[0].lines[0].get_data()
    assert len(x) <= 30
    assert (x[0], y[0], y[1]) == (1, 0, 1)  # the first epochs are single
    assert np.all(np.abs(y[-10:] - 0.5) < 0.05)  # then many make a point
    assert np.all(np.diff(x) > 0)
    assert x[-1] <= 500


def test_boxes_that_reach_beyond_the_image_do_not_change_its_size(drawn, tmp_path):
    black = np.zeros((40, 20, 3), np.uint8)
    far = np.array([[-0.5, -0.5, 1.5, 1.5], [0.2, 0.2, 0.4, 0.4]])
    plots.images([black, black], ["one", "two"], tmp_path / "boxes.png", boxes={"predicted": far})
    one, two = drawn[0].axes[:2]
    assert (one.get_xlim(), one.get_ylim()) == (two.get_xlim(), two.get_ylim())
    assert all(patch.get_clip_on() for patch in one.patches)
