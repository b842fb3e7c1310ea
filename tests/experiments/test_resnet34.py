"""experiments/resnet34.py: the paper's table of stages, by its formula; a short training of fewer blocks."""

import pytest
from PIL import Image

from experiments import resnet34
from jaxnets.models import MODELS, ResNet
from jaxnets.models.resnet import imagenet_stem
from jaxnets.summary import summarize


def test_stages_are_those_of_the_paper(capsys):
    summary = summarize(MODELS["resnet34"](), (224, 224, 3))
    resnet34.print_stages(summary)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()[1:]]
    lines = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert lines[0] == ["conv1", "(None, 112, 112, 64)", "-", f"{7 * 7 * 3 * 64 + 2 * 64:,}", "-"]
    size, before = 56, 64
    for line, (count, width) in zip(lines[1:5], ((3, 64), (4, 128), (6, 256), (3, 512)), strict=True):
        # a 3x3 convolution into the stage, the others within it, a scale and a shift after each of them
        trainable = 9 * before * width + (2 * count - 1) * 9 * width**2 + 2 * count * 2 * width
        trainable += before * width + 2 * width if width > before else 0  # the projection, 1x1
        projected = "block1" if width > before else "-"
        assert line[1:] == [f"(None, {size}, {size}, {width})", str(count), f"{trainable:,}", projected]
        size, before = size // 2, width
    assert lines[5][-2:] == [f"{512 * 1000 + 1000:,}", "-"]


def test_documented_figures_and_a_loss_that_falls(tmp_path, monkeypatch):
    small = ResNet(stage_sizes=(1,), stem=imagenet_stem)
    monkeypatch.setattr(resnet34.runs, "make_model", lambda name, features: small)
    measured = resnet34.main(dataset="digits", epochs=3, steps_per_epoch=5, workdir=tmp_path)
    assert {name: measured[name] for name in resnet34.DOCUMENTED} == resnet34.DOCUMENTED
    assert measured["dataset"] == "digits"
    assert [record["step"] for record in measured["history"]] == [5, 10, 15]
    losses = [record["loss"] for record in measured["history"]]
    assert losses == sorted(losses, reverse=True)
    assert (measured["first loss"], measured["loss"]) == pytest.approx((losses[0], losses[-1]))
    with Image.open(tmp_path / "loss.png") as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100  # something is drawn
