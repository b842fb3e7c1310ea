"""The commands of python -m jaxnets; see `COMMANDS`."""

import dataclasses
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import jaxnets
from jaxnets import hints
from jaxnets.cli import commandline, names, output
from jaxnets.cli.data import COMMANDS as DATA_COMMANDS
from jaxnets.cli.plan import plan
from jaxnets.cli.runs import plot, runs
from jaxnets.cli.train import train
from jaxnets.errors import UserError, lookup

if TYPE_CHECKING or not importlib.util.find_spec("tyro"):  # commandline.run says what to install
    Workdir: TypeAlias = Path
    Workdirs: TypeAlias = list[Path]
    File: TypeAlias = Path
    Files: TypeAlias = list[Path]
else:
    from tyro.conf import Positional, arg

    Workdir = Annotated[Positional[Path], arg(metavar="WORKDIR")]
    Workdirs = Annotated[Positional[list[Path]], arg(metavar="WORKDIR ...")]
    File = Annotated[Positional[Path], arg(metavar="FILE")]
    Files = Annotated[Positional[list[Path]], arg(metavar="FILE ...")]


EXPORTED = {  # the file names that the formats' readers expect
    "safetensors": "weights.safetensors",
    "stablehlo": "model.stablehlo",
    "onnx": "model.onnx",
    "text": "weights.txt",
    "keras": "model.weights.h5",
}


def models() -> None:
    """List the networks with their documented input shapes and numbers of parameters."""
    from jaxnets.models import INPUT_SHAPES, MODELS
    from jaxnets.summary import summarize

    for name, model in MODELS.items():
        shape = INPUT_SHAPES[name]
        size, count = " x ".join(map(str, shape)), summarize(model(), shape).parameters
        print(f"{name:24} {size:15} {count:>12,} parameters")


def summary(name: names.ModelName, /, *, classes: int | None = None, json: bool = False) -> None:
    """Show the layers of a network: output shapes, parameters (trainable or not) and multiply-adds.

    Args:
        name: Name of a network; the command `models` lists them.
        classes: Number of classes. By default the documented number.
        json: Print one JSON object instead of a table.
    """
    from jaxnets.models import INPUT_SHAPES, MODELS
    from jaxnets.summary import summarize

    make = lookup(MODELS, name, "model")
    found = summarize(make() if classes is None else make(num_classes=classes), INPUT_SHAPES[name])
    found = dataclasses.replace(found, model=name)
    print(_json(found.to_json()) if json else found.to_text())


def predict(
    workdir: Workdir,
    files: Files,
    /,
    *,
    ink: Literal["auto", "dark", "light"] = "auto",
    threshold: int | None = None,
    sheet: Path | None = None,
    json: bool = False,
) -> None:
    """Classify image files with a trained network: print the label, its probability and the next two guesses.

    Args:
        workdir: The run's folder.
        files: Images of any size and mode, PNG or JPEG.
        ink: Whether drawings are dark on light paper or light on dark. By default determined for each image.
        threshold: Pixels darker than this (0 to 255) are dark ink, as in the document, with 200. By default
            ink is found whatever the light, and the drawing is framed as in the training images.
        sheet: PNG file to draw: every image, what the network saw of it, and its three best guesses.
        json: Print a JSON list instead of one line per image.
    """
    _set_up()
    from jaxnets.runs.predict import guesses, load_image_run, look
    from jaxnets.runs.sheet import check_sheet, contact_sheet

    if not files:
        raise UserError("no image given: name one or more PNG or JPEG files after the workdir")
    if sheet:
        check_sheet(sheet, files)
    run = load_image_run(workdir)
    looks = []
    for file in files:
        try:
            looks.append(look(run, file, str(file), ink=None if ink == "auto" else ink, threshold=threshold))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
    found = [best[:3] for best in guesses(run, [look.seen for look in looks])]
    pairs = list(zip(looks, found, strict=True))
    for one in looks:
        if one.doubt:
            print(f"warning: {one.where}: {one.doubt}; see what was seen with --sheet", file=sys.stderr)
    if json:
        answers: list[dict[str, Any]] = [
            {
                "file": look.where,
                "guesses": [dataclasses.asdict(guess) for guess in best],
                "doubt": look.doubt,
            }
            for look, best in pairs
        ]
        print(_json(answers))
    else:
        for one, best in pairs:
            first, *rest = [f"{guess.label} ({guess.probability:.3f})" for guess in best]
            print(f"{one.where}: {first}" + (f", then {', '.join(rest)}" if rest else ""))
    if sheet and pairs:
        contact_sheet(pairs, sheet)
        print(f"{sheet}: {len(pairs)} of them, and what was seen", file=sys.stderr if json else sys.stdout)
    if len(looks) < len(files):
        sys.exit(2)


def app(workdirs: Workdirs, /, *, host: str = "127.0.0.1", port: int = 8000, open: bool = False) -> None:
    """Serve a page where you draw or drop a picture and see what trained networks predict.

    Args:
        workdirs: The run's folder, or several to compare: all answer to the same picture, side by side.
        host: Address of this machine to listen on. By default only this machine can open the page; with
            0.0.0.0 every device in its network can that has the page's whole address, such as a phone.
        port: Port to listen on; 0 for any free port.
        open: Open the page in the browser.
    """
    if not workdirs:
        raise UserError("no run given: name the folder of one, or of several to compare")
    _set_up()
    from jaxnets.app import serve
    from jaxnets.app.examples import find_examples
    from jaxnets.runs.predict import load_image_run

    runs = {str(workdir): load_image_run(workdir) for workdir in workdirs}
    examples = find_examples(workdirs[0], runs[str(workdirs[0])])
    serve(runs, port, host=host, examples=examples, show=open)


def evaluate(workdir: Workdir, /, *, batch_size: int = 256, json: bool = False) -> None:
    """Measure the loss and accuracy of a trained network on the held-out examples of its data set.

    Args:
        workdir: The run's folder.
        batch_size: Number of examples in a batch. It does not change the result.
        json: Print a JSON object instead of a line of text.
    """
    _set_up()
    import jax

    from jaxnets import data
    from jaxnets.runs import load_dataset, load_run
    from jaxnets.train import evaluate, make_eval_step

    run = load_run(workdir)
    if run.config["dataset"] is None and "experiment" in run.config:
        raise UserError(
            f"{workdir} is of experiments/{run.config['experiment']}.py, which makes its own examples: "
            "run it again to evaluate it"
        )
    if run.config["dataset"] is None:
        raise UserError(f"{workdir} was imported without a data set: import it with --dataset to evaluate it")
    held_out = load_dataset(workdir, run.config).test
    network, variables = run.folded
    step = jax.jit(make_eval_step(network, loss=run.loss, preprocess=run.preprocess))
    found = evaluate(step, variables, data.Batches(held_out, batch_size))
    if json:
        print(_json({**found, "examples": len(held_out)}))
    else:
        loss, accuracy = found["loss"], found["accuracy"]
        print(f"loss {loss:.4f}, accuracy {accuracy:.4f} on {len(held_out):,} held-out examples")


def export(
    workdir: Workdir,
    /,
    *,
    format: Literal["safetensors", "stablehlo", "onnx", "text", "keras"] = "safetensors",
    out: Path | None = None,
    fold: bool = False,
    like: Path | None = None,
    unchecked: bool = False,
) -> None:
    """Write a trained network to a file that other programs can read.

    Args:
        workdir: The run's folder.
        format: safetensors (arrays by name), stablehlo (the computation, which any program with jax can run),
            onnx (needs two more packages), text (name, shape and all values) or keras (.weights.h5 for Keras
            3; with --out NAME.h5 a legacy .h5, which Keras 2 and 3 load).
        out: File to write. By default one in the run's folder.
        fold: For stablehlo and onnx, fold each batch normalization into the layer before it, for speed.
        like: For keras, a Keras file of the same architecture (.keras, .weights.h5 or legacy .h5) whose
            layout the new file takes. Networks with branches need it.
        unchecked: With --like, write the file even if the network in that file computes something else.
    """
    _set_up()
    from jaxnets.export import FORMATS
    from jaxnets.folding import fold_batch_norm
    from jaxnets.keras_weights import save_keras_weights
    from jaxnets.runs import load_run, make_model

    if like and format != "keras":
        raise UserError(f"--like {like} goes with --format keras, not with {format}")
    if fold and format not in ("stablehlo", "onnx"):
        raise UserError(f"--fold goes with --format stablehlo or onnx, not with {format}")
    run = load_run(workdir)
    name = f"model{like.suffix}" if like and not like.name.endswith(".weights.h5") else EXPORTED[format]
    out = out or workdir / name
    # Weights are float32 whatever a network computes in, and other programs compute in that.
    network = run.model if format == "stablehlo" else make_model(run.config["model"], run.features)
    if format == "keras":
        save_keras_weights(out, run.variables, network, run.features.shape, like=like, unchecked=unchecked)
    else:
        variables = run.variables
        if fold:
            network, variables = fold_batch_norm(network, variables, run.features.shape)
        FORMATS[format](out, network, variables, run.features.shape)
    print(f"{out}: {out.stat().st_size:,} bytes")


def import_keras(
    file: File,
    /,
    *,
    model: names.Model,
    workdir: Path,
    dataset: str | None = None,
    classes: int | None = None,
    inputs: Literal["unit", "caffe", "tf", "bytes"] | None = None,
    ignore: tuple[str, ...] = (),
    rename: tuple[str, ...] = (),
    partial: bool = False,
    unchecked: bool = False,
    report: bool = False,
) -> None:
    """Create a run's folder from a Keras file, for use with predict, evaluate, export and --start.

    Args:
        file: Keras file: .keras, .weights.h5 or legacy .h5.
        model: Name of the network with this architecture; the command `models` lists them.
        workdir: Folder to create.
        dataset: Name of the data set that the network was trained on: it gives the shape of the inputs and
            the classes, and `evaluate` measures on it.
        classes: Number of classes, if no data set is named. By default the documented number.
        inputs: Inputs that the network takes: pixels scaled to 0 to 1 (unit), preprocessed as for the
            official ResNet and VGG (caffe) or Xception (tf), or 0 to 255 (bytes). By default those of the
            official file of that name, if there is one, or else unit.
        ignore: Layers in the file that the network does not have.
        rename: Pairs LAYER=PLACE of layers in the file and in the network (conv2d_5=block1/conv), for those
            that cannot be paired otherwise.
        partial: Take the layers that the file and the network have in common, such as a backbone. The others
            keep the random values that they start with; all of them are named.
        unchecked: Take the weights even if the file says that its network computes something else, and go by
            order where only a guess could tell layers apart.
        report: Print which layer of the file belongs to which layer of the network, and why.
    """
    _set_up()
    from jaxnets.runs import start

    pairs = [pair.rpartition("=") for pair in rename]
    for pair, (theirs, equals, _) in zip(rename, pairs, strict=True):
        if not (theirs and equals):
            raise UserError(f"--rename {pair}: give pairs of names, such as conv2d_5=block1/conv")

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        count, pairing = start.import_keras(
            file,
            model,
            workdir,
            dataset=dataset,
            classes=classes,
            inputs=inputs,
            ignore=ignore,
            rename={theirs: ours for theirs, _, ours in pairs},
            partial=partial,
            unchecked=unchecked,
        )
    if report:
        print(pairing)
    for note in notes:
        print(f"note: {note.message}", file=sys.stderr)
    print(f"{count:,} parameters of {file} are now in {workdir}; try")
    print(f"  {hints.jaxnets('predict', workdir, 'FILE')}")


def skeleton(file: File, /) -> None:
    """Print a Flax module that computes what a Keras model does: the beginning of a move from Keras to JAX.

    Layers that have no counterpart here become classes to fill in, and are named on stderr.

    Args:
        file: Keras file of a whole model, with its configuration: .keras, legacy .h5, or .json of to_json.
    """
    _set_up()
    from jaxnets.keras_weights import make_skeleton

    found = make_skeleton(file)
    print(found.text, end="")
    for one in found.missing:
        print(f"to do: {one}", file=sys.stderr)


def _set_up() -> None:
    from jaxnets.machine import set_up  # imports jax, which takes a while: not for --help

    set_up()


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


COMMANDS: dict[str, Any] = {
    "train": train,
    "models": models,
    "summary": summary,
    "plan": plan,
    "runs": runs,
    "plot": plot,
    "predict": predict,
    "app": app,
    "evaluate": evaluate,
    "export": export,
    "import-keras": import_keras,
    "skeleton": skeleton,
    "data": DATA_COMMANDS,
}


def main() -> None:
    """Runs the command that the arguments name, or prints the version."""
    if sys.argv[1:] == ["--version"]:
        output.guard()
        print(f"jaxnets {jaxnets.__version__}")
        return
    commandline.run(
        COMMANDS, about="Train networks, look at them and use them; --version prints the version."
    )
