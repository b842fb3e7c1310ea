"""ResNet-34, stage by stage, and its first steps on small images (F9).

    python experiments/resnet34.py
    python experiments/resnet34.py --dataset digits --epochs 8

The document has only the heading; this is the ImageNet network of the paper (He et al. 2016): 7x7 at stride
2, 3x3 max pooling at stride 2, stages of 3, 4, 6 and 3 blocks, of which only the first blocks of stages 2 to
4, which halve the image, project their shortcut. Documented for that network: 21,797,672 trainable parameters
with 1,000 classes.

Then Adam 0.001 takes 40 steps with 32 images each, at their own size (32x32 for CIFAR-10, 28x28 for the
digits).
"""

from jaxnets.cli import commandline

from jaxnets import data, optim, plots, report, runs, train
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.summary import LayerRow, Summary, summarize

from collections import defaultdict
from pathlib import Path
from typing import Any

DOCUMENTED = {"trainable": 21_797_672, "blocks": 16, "projections": 3}


def stages(summary: Summary) -> dict[str, list[LayerRow]]:
    """The layers of each stage (conv1 ... conv5, predictions) by its name."""
    found: dict[str, list[LayerRow]] = defaultdict(list)
    for row in summary.layers:
        found[row.name.split("_")[0]].append(row)
    return found


def projections(layers: list[LayerRow]) -> list[str]:
    """The names of the convolutions that project a shortcut."""
    return [row.name for row in layers if row.name.endswith("_0_conv")]


def blocks(layers: list[LayerRow]) -> list[str]:
    """The names of the residual blocks."""
    return sorted({row.name.split("_")[1] for row in layers if "_block" in row.name})


def print_stages(summary: Summary) -> None:
    """A line a stage: its output, blocks, parameters, and which shortcuts are projected."""
    print(f"{'stage':<12}{'output':<20}{'blocks':>6}{'trainable':>12}  projected shortcuts")
    for name, layers in stages(summary).items():
        trainable = sum(row.trainable for row in layers)
        projected = ", ".join(row.split("_")[1] for row in projections(layers)) or "-"
        shape = str(layers[-1].output_shapes[0])
        print(f"{name:<12}{shape:<20}{len(blocks(layers)) or '-':>6}{trainable:>12,}  {projected}")


def main(
    *,
    dataset: str = "cifar10",
    epochs: int = 4,
    steps_per_epoch: int = 10,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: Path = Path("runs/resnet34"),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Print the parts of the network, and train it for a few steps to show that its loss falls.

    Args:
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        epochs: Number of records of the loss.
        steps_per_epoch: Steps from one record to the next.
        batch_size: Images in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights and the order of the images.
        workdir: Folder for loss.png.
        data_dir: Folder of prepared data sets. By default that of TFDS.
    """
    # 1. data
    examples = data.at_hand(dataset, data_dir)
    # 2. network
    network = runs.make_model("resnet34", examples.features)
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    # 4. fit
    _, history = train.fit(
        train.make_state(network, optimizer, examples.features.shape, seed),
        train.make_train_step(network, optimizer),
        data.Batches(examples.train, batch_size, seed),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
    )
    # 5. summary
    summary = summarize(MODELS["resnet34"](), INPUT_SHAPES["resnet34"])
    print_stages(summary)
    measured: dict[str, Any] = {
        "trainable": summary.trainable,
        "blocks": sum(len(blocks(layers)) for layers in stages(summary).values()),
        "projections": len(projections(summary.layers)),
        "first loss": history[0]["loss"],
        "loss": history[-1]["loss"],
    }
    report.beside(DOCUMENTED, measured)
    print(
        f"loss {measured['first loss']:.4f} in the first {steps_per_epoch} steps on {examples.name}, ", end=""
    )
    print(f"{measured['loss']:.4f} in the last of {epochs * steps_per_epoch}")
    # 6. picture
    steps, losses = zip(*((record["step"], record["loss"]) for record in history), strict=True)
    panels = {f"training loss, mean of {steps_per_epoch} steps": {examples.name: (steps, losses)}}
    plots.lines(panels, workdir / "loss.png", xlabel="step", title=f"ResNet-34 on {examples.name}")
    return measured | {"history": history, "dataset": examples.name}


if __name__ == "__main__":
    commandline.run(main)
