"""94% on CIFAR-10 in the least time: a training as one compiled program, with its data on the device.

    python experiments/cifar10_speedrun.py --seeds 30
    python experiments/cifar10_speedrun.py --dataset digits --width 0.25 --epochs 4      # a trial on a CPU

The method is that of airbench94_muon (Keller Jordan, github.com/KellerJordan/cifar10-airbench, arXiv
2404.00498; documented: 94.01% in 2.59 s on an A100, in PyTorch): a frozen whitening layer, convolutions that
start as identities, eight epochs of 25 steps with Muon for the kernels and Nesterov SGD for biases and head,
label smoothing of 0.2, and learning rates that fall linearly. In every epoch all images are mirrored relative
to the epoch before, and cropped from reflected borders; in the test, six views of every image vote.

The program differs: a single call goes from bytes to the test accuracy. It contains the whitening layer, the
augmentation of every epoch, the scan over its steps, and the test. The images stay on the device as bfloat16
(differences from 128, which it represents exactly), statistics and parameters are float32, and Muon's
products are batched over kernels of the same size. After the third epoch the whitening layer's bias is
frozen, which makes the gradient of the largest layer's input unnecessary, as in airbench. (That bias is not
decayed here, since it also subtracts the images' mean.) On CPUs, whose convolutions are slow inside a scan,
the same functions are called step by step.

Seconds are wall-clock seconds from the call to the accuracy on the host, without reading the data: for the
first call with compilation, and for the others without. benchmarks/airbench.py compares it with airbench.
"""

from jaxnets.cli import commandline

from jaxnets import data, losses, plots, train
from jaxnets.data.device import read_all
from jaxnets.models import SpeedNet
from jaxnets.recipes import MUON_RATE, WHITENED_FROM, speed, whitened

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

DOCUMENTED = {"accuracy": 0.9401, "seconds": 2.59}  # airbench94_muon on an A100, 200 seeds
SHIFT = 2  # pixels that a crop moves by at most
WHITEN_EPOCHS = 3  # in which the whitening layer's bias learns
SMOOTHING = 0.2


class Plan(NamedTuple):
    """One training.

    Attributes:
        model: the network.
        epochs: passes over the training images.
        batch_size: images in a step; what is left of an epoch waits for the next.
        steps: in an epoch.
        dtype: of images and arithmetic.
    """

    model: SpeedNet
    epochs: int
    batch_size: int
    steps: int
    dtype: Any


def centred(images: jax.Array, dtype: Any) -> jax.Array:
    """Bytes to -128 ... 127, which bfloat16 holds exactly; the whitening layer scales them."""
    return images.astype(dtype) - jnp.asarray(128, dtype)


def padded(images: jax.Array, pixels: int) -> jax.Array:
    """Images (n, h, w, c) with so many more pixels on every side, reflected."""
    return jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")


def epoch_images(key: jax.Array, epoch: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One epoch's images, shuffled, cropped and mirrored, with a single gather.

    A random half of the images is mirrored in even epochs and the other half in odd ones, so that two epochs
    in a row show both sides of every image. Crops and the order are drawn anew.

    Args:
        key: Key of the whole training.
        epoch: Number of the epoch, from 0.
        images: (n, h + 2 SHIFT, w + 2 SHIFT, c), padded.

    Returns:
        Images (n, h, w, c), and which ones they are, int32 (n,).
    """
    count, height, width = len(images), images.shape[1] - 2 * SHIFT, images.shape[2] - 2 * SHIFT
    mirrored = jax.random.bernoulli(jax.random.fold_in(key, 0), shape=(count,))  # the same in every epoch
    order_key, crop_key = jax.random.split(jax.random.fold_in(key, 1 + epoch))
    order = jax.random.permutation(order_key, count)
    top, left = jax.random.randint(crop_key, (2, count), 0, 2 * SHIFT + 1)
    across = jnp.arange(width)[None, :]
    flip = (mirrored[order].astype(jnp.int32) + epoch) % 2 == 1
    rows = top[:, None] + jnp.arange(height)[None, :]
    columns = left[:, None] + jnp.where(flip[:, None], width - 1 - across, across)
    return images[order[:, None, None], rows[:, :, None], columns[:, None, :]], order


def optimizers(plan: Plan) -> tuple[Any, Any]:
    """While the whitening layer's bias learns, and after that."""
    total, first = plan.epochs * plan.steps, min(WHITEN_EPOCHS, plan.epochs) * plan.steps

    def falling(steps: int) -> Callable[[Any], Any]:
        return lambda step: MUON_RATE * jnp.maximum(1 - step / steps, 0.0)

    make = partial(speed, falling(total), plan.batch_size, dtype=plan.dtype)
    return make(whiten=falling(first)), make()


def begin(plan: Plan, seed: jax.Array, images: jax.Array) -> train.TrainState:
    """The state before the first step: parameters from the seed, the whitening layer from the images.

    Args:
        plan: The training.
        seed: Seed of the training.
        images: uint8 (n, h, w, c).
    """
    init_key, key = jax.random.split(jax.random.PRNGKey(seed))
    some = centred(images[:WHITENED_FROM], jnp.float32)
    variables = whitened(plan.model.init(init_key, some[:1]), some)
    params = variables["params"]
    opt_state = optimizers(plan)[0].init(params)
    return train.TrainState(jnp.int32(0), params, {"batch_stats": variables["batch_stats"]}, opt_state, key)


def make_step(plan: Plan, optimizer: Any) -> Callable[..., Any]:
    """Returns (state, images (b, h, w, c), labels (b,)) -> (state, sums)."""
    step = train.make_train_step(
        plan.model,
        optimizer,
        loss=partial(losses.sparse_categorical_crossentropy, label_smoothing=SMOOTHING),
        preprocess=lambda x: x,
    )
    # The mask is a constant of the program, and so costs nothing.
    return lambda state, x, y: step(state, {"x": x, "y": y, "mask": jnp.ones(plan.batch_size)})


def votes(model: SpeedNet, variables: Any, x: jax.Array) -> jax.Array:
    """Logits (n, classes) of the weighted mean over six views: mirrored or not, moved by a pixel or not."""
    height, width = x.shape[1:3]
    border = padded(x, 1)
    views = [x, border[:, :height, :width], border[:, 2 : 2 + height, 2 : 2 + width]]
    total: Any = 0.0
    for view, weight in zip(views, (0.5, 0.25, 0.25), strict=True):
        for side in (view, view[:, :, ::-1]):
            logits: Any = model.apply(variables, side)
            total += weight / 2 * logits.astype(jnp.float32)
    return total


def right(plan: Plan, variables: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    """How many of these bytes (n, h, w, c) the votes get right."""
    logits = votes(plan.model, variables, centred(images, plan.dtype))
    return jnp.sum(jnp.argmax(logits, axis=-1) == labels)


def whole_program(plan: Plan) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Returns (seed, train, test) -> (accuracy, loss of every epoch) as one compiled program.

    train and test are (bytes (n, h, w, c), labels (n,)).
    """
    learning, rest = (make_step(plan, optimizer) for optimizer in optimizers(plan))
    used = plan.steps * plan.batch_size

    @jax.jit
    def program(seed: jax.Array, train_set: Any, test_set: Any) -> tuple[jax.Array, jax.Array]:
        images, labels = train_set
        state = begin(plan, seed, images)
        border = padded(centred(images, plan.dtype), SHIFT)

        def epoch(step: Any, state: train.TrainState, number: jax.Array) -> Any:
            x, order = epoch_images(state.key, number, border)
            batches = (x[:used], labels[order[:used]])
            batches = jax.tree.map(lambda a: a.reshape(plan.steps, plan.batch_size, *a.shape[1:]), batches)
            state, sums = lax.scan(lambda state, batch: step(state, *batch), state, batches)
            return state, jnp.sum(sums["loss"]) / used

        first = min(WHITEN_EPOCHS, plan.epochs)
        state, early = lax.scan(partial(epoch, learning), state, jnp.arange(first))
        state, late = lax.scan(partial(epoch, rest), state, jnp.arange(first, plan.epochs))
        rows = max(n for n in range(1, 2001) if len(test_set[1]) % n == 0)
        parts = jax.tree.map(lambda a: a.reshape(-1, rows, *a.shape[1:]), test_set)
        correct = lax.map(lambda part: right(plan, state.variables, *part), parts)
        return jnp.sum(correct) / len(test_set[1]), jnp.concatenate([early, late])

    return program


def step_by_step(plan: Plan) -> Callable[..., tuple[Any, Any]]:
    """Returns what `whole_program` does, as calls of compiled pieces: for CPUs."""
    learning, rest = (jax.jit(make_step(plan, one), donate_argnums=0) for one in optimizers(plan))
    start = jax.jit(partial(begin, plan))
    prepare = jax.jit(lambda images: padded(centred(images, plan.dtype), SHIFT))
    shuffled, judge = jax.jit(epoch_images), jax.jit(partial(right, plan))

    def program(seed: Any, train_set: Any, test_set: Any) -> tuple[Any, Any]:
        (images, labels), loss = train_set, []
        state, border = start(seed, images), prepare(images)
        for number in range(plan.epochs):
            x, order = shuffled(state.key, number, border)
            step, sums = learning if number < WHITEN_EPOCHS else rest, []
            for first in range(0, plan.steps * plan.batch_size, plan.batch_size):
                some = slice(first, first + plan.batch_size)
                state, measured = step(state, x[some], labels[order[some]])
                sums.append(measured["loss"])
            loss.append(sum(map(float, sums)) / (plan.steps * plan.batch_size))
        parts = range(0, len(test_set[1]), 500)
        correct = sum(judge(state.variables, *(a[n : n + 500] for a in test_set)) for n in parts)
        return correct / len(test_set[1]), jnp.array(loss)

    return program


def main(
    *,
    seeds: int = 1,
    seed: int = 0,
    epochs: int = 8,
    batch_size: int = 2000,
    width: float = 1.0,
    examples: int | None = None,
    dataset: str = "cifar10",
    data_dir: Path | None = None,
    workdir: Path = Path("runs/speedrun"),
) -> dict[str, Any]:
    """Train with several seeds; print the mean accuracy and the seconds, with airbench's for comparison.

    Args:
        seeds: Number of trainings.
        seed: First seed.
        epochs: Epochs of each.
        batch_size: Images in a step; at most a 25th of all.
        width: Width of the blocks, as a fraction of 64, 256 and 256.
        examples: Number of training examples to use, the first ones. By default all.
        dataset: Name of a data set of images. If it is not available, digits are used instead.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        workdir: Folder for curves.png, which shows the last seed's smoothed loss.
    """
    found = data.at_hand(dataset, data_dir=data_dir)
    sets = [read_all(part).arrays for part in (found.train, found.test)]
    train_set, test_set = (jax.device_put((part["x"], part["y"])) for part in sets)
    train_set = jax.tree.map(lambda a: a[:examples], train_set)
    accelerator = jax.default_backend() != "cpu"
    dtype = jnp.bfloat16 if accelerator else jnp.float32
    batch_size = min(batch_size, max(len(train_set[1]) // 25, 1))
    widths = (round(64 * width), round(256 * width), round(256 * width))
    model = SpeedNet(widths, len(found.features.classes), dtype=dtype)
    plan = Plan(model, epochs, batch_size, len(train_set[1]) // batch_size, dtype)
    program = (whole_program if accelerator else step_by_step)(plan)
    print(f"{len(train_set[1]):,} images of {found.name}, {epochs} epochs of {plan.steps} steps, {widths}")
    accuracies, seconds, loss = [], [], np.zeros(epochs)
    for number in range(seed, seed + seeds):
        start = time.perf_counter()
        accuracy, loss = jax.device_get(program(number, train_set, test_set))
        seconds.append(time.perf_counter() - start)
        accuracies.append(float(accuracy))
        print(f"seed {number}: accuracy {accuracy:.4f}, {seconds[-1]:.3f} s", flush=True)
    spread = statistics.stdev(accuracies) if seeds > 1 else 0.0
    measured = {
        "accuracy": statistics.mean(accuracies),
        "deviation": spread,
        "seconds": statistics.median(seconds[1:] or seconds),
        "seconds_with_compilation": seconds[0],
    }
    print(f"mean accuracy of {seeds}: {measured['accuracy']:.4f}, deviation {spread:.4f}")
    print(f"{seconds[0]:.2f} s with compilation, {measured['seconds']:.3f} s without (median)")
    print(f"{jax.devices()[0].device_kind}; airbench94_muon on an A100: {DOCUMENTED}")
    history = [{"epoch": number, "loss": float(value)} for number, value in enumerate(loss, start=1)]
    line = {f"seed {seed + seeds - 1}": (np.arange(1, epochs + 1), loss)}
    plots.lines({"training loss": line}, workdir / "curves.png", xlabel="epoch")
    every = {"accuracies": accuracies, "all_seconds": seconds}
    return {**measured, **every, "history": history, "dataset": found.name}


if __name__ == "__main__":
    commandline.run(main)
