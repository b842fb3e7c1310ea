"""The training loop: the one place where state, data, metrics and checkpoints meet.

`fit` is what the commands and most experiments use. Beside it, `fit_compiled` runs all epochs as one program,
for tiny networks, and `jaxnets.course.scan` does the same for bare functions of parameters.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, Sharding

from jaxnets.data.device import AnyBatches, OnDevice, on_device
from jaxnets.data.iterables import IterableBatches
from jaxnets.data.sampler import Batches
from jaxnets.errors import Interrupted, UserError, expect, whole
from jaxnets.machine.distributed import wait_on_cpus
from jaxnets.train.callback import Callback, call
from jaxnets.train.evaluation import Evaluator, Validation, first_of
from jaxnets.train.io.interrupt import Interrupts
from jaxnets.train.io.journal import Journal, Keep, Position
from jaxnets.train.io.progress import REFRESH, Every, Progress, make_progress, say_finished
from jaxnets.train.misfit import explained
from jaxnets.train.monitor import History, check_measured, sign_of
from jaxnets.train.nonfinite import check_finite, check_some_kept
from jaxnets.train.program import make_program
from jaxnets.train.sharding import place_state
from jaxnets.train.state import TrainState
from jaxnets.train.step import TrainStep
from jaxnets.train.steps_per_call import steps_per_call as default_steps_per_call
from jaxnets.train.sums import means, metric_names

NOTHING = Keep()


def fit(
    state: TrainState,
    train_step: TrainStep,
    train: AnyBatches,
    *,
    epochs: int,
    steps_per_epoch: int | None = None,
    validation: Validation | None = None,
    keep: Keep = NOTHING,
    callbacks: Sequence[Callback] = (),
    on_nonfinite: Literal["stop", "skip"] = "stop",
    mesh: Mesh | None = None,
    steps_per_call: int | None = None,
    quiet: bool = False,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains up to `epochs` epochs in all, resuming from the last checkpoint in the run's folder if any.

    Args:
        state: The state to start from; it is copied and left unchanged.
        train_step: A pure step, as `make_train_step` returns it.
        train: The batches to learn from: `Batches`, or any iterable of batches (`jaxnets.data.iterables`); a
            run on an iterable that was interrupted within an epoch resumes at the start of that epoch. They
            are moved to the device as by `on_device`, unless they are there already.
        epochs: Total number of epochs of the run, including those already done by the state or the folder.
        steps_per_epoch: Number of steps between two records. By default a whole pass over the data; required
            for an iterable without a length.
        validation: How to evaluate. By default nothing is evaluated.
        keep: What to keep of the run, and where: `Keep("runs/mine", best="val_loss")`. By default nothing is
            written.
        callbacks: Called at certain moments (`Callback`): `EarlyStopping`, `ReduceOnPlateau`,
            `RecordLearningRate`, `TensorBoard`, `Profile`, or your own.
        on_nonfinite: What to do when a loss or gradient is nan or infinite: "stop", the default, stops the
            run within a second (with several processes, at the epoch's end) and saves the state before it
            and the batch's indices; "skip" skips that step, which changes nothing but the step number.
        mesh: Devices, including those of other processes, to split every batch over along the mesh's first
            axis; each holds the whole state, and the results are those of one device. By default a single
            device.
        steps_per_call: Number of steps compiled into one program, which runs without the host
            (`Callback.on_step_end` is called after all of them). By default chosen by device and network.
        quiet: Show no progress. By default a bar, or lines where nobody watches.

    Returns:
        The state after the last epoch, and one record per epoch: epoch (from 1), step, loss, accuracy,
        val_loss, val_accuracy, seconds, examples_per_second (of the training part).

    Raises:
        UserError: If `epochs` is not positive or not more than the given state has done, the loss or a
            gradient is not finite, a metric to monitor is not measured, a callback returns something it must
            not, a checkpoint does not fit or cannot be written, or another process trains in the folder.
        Interrupted: If Ctrl-C or, with a folder, SIGTERM is received. The run is saved in the folder, if
            any; the exception holds the state and the records reached.

    Examples:
        >>> import optax
        >>> from jaxnets import data, models, train
        >>> model, optimizer = models.MODELS["perceptron"](), optax.sgd(0.1)
        >>> iris = data.load("iris")
        >>> state = train.make_state(model, optimizer, iris.features.shape)
        >>> step = train.make_train_step(model, optimizer)
        >>> state, history = train.fit(state, step, data.Batches(iris.train, 32, seed=0), epochs=2)
        >>> [record["epoch"] for record in history]
        [1, 2]
    """
    _check_types(state, validation, keep, callbacks)
    counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "steps_per_call": steps_per_call}
    for name, count in counts.items():
        if count is not None:
            whole(name, count, least=1)
    if keep.folder is not None and mesh is None and jax.process_count() > 1:
        raise UserError(f"several processes share {keep.folder}: give fit the mesh that make_mesh() returns")
    if not isinstance(train, (Batches, IterableBatches, OnDevice)):
        train = IterableBatches(train, steps_per_epoch)
    train = on_device(train, mesh=mesh)
    steps = steps_per_epoch or train.steps_per_epoch
    if steps is None:
        raise UserError("the number of batches in an epoch is unknown: give steps_per_epoch")
    # Committed, as a restored state is: fresh and restored states then share one compiled program.
    state = jax.tree.map(lambda leaf: jax.device_put(leaf.copy(), leaf.sharding), place_state(state, mesh))
    step, sums = _compile(train_step, state, train, skip=on_nonfinite == "skip")
    judge = Evaluator.make(validation, mesh)
    per_call = steps_per_call or default_steps_per_call(steps, state.params, _platform(state))
    plan = _Plan(step, sums, train, judge, tuple(callbacks), epochs, steps, per_call)
    measured = metric_names(sums) + judge.names(state)
    check_measured([keep.best, *(callback.monitor for callback in callbacks)], measured)
    if keep.best is not None:
        sign_of(keep.best, keep.best_mode)
    with (
        Interrupts(sigterm=keep.folder is not None) as interrupts,
        Journal(keep, validation.variables if validation else None) as journal,
    ):
        at = journal.restore(Position(state, plan.zeros(state), int(state.step), int(state.step) // steps))
        _check_position(plan, at, journal)
        stream = train.steps(at.step)  # the batches of all epochs: which they are depends on nothing else
        watch = _Watch(train, journal, interrupts)
        with make_progress(epochs, at.epoch, plan.examples, quiet=quiet) as progress:
            call(callbacks, "on_train_begin", at.state, journal.history)
            while not plan.is_done(at, journal.history):
                at = at.begin()
                call(callbacks, "on_epoch_begin", at.state, journal.history)
                at = _train_epoch(plan, stream, at, watch, progress)
                journal.append(_record(plan, at, watch))
                at = Position(at.state, plan.zeros(at.state), at.step, at.epoch + 1)
                journal.save_if_best(at)
                progress.end_epoch(journal.history[-1])
                state = call(callbacks, "on_epoch_end", at.state, journal.history)
                at = dataclasses.replace(at, state=state)
                journal.save(at, now=at.epoch == epochs)
                watch.check(at)
            journal.save(at, now=True)
        state = journal.restore_best(at) if keep.restore_best else at.state
        call(callbacks, "on_train_end", state, journal.history)
    return state, journal.history


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What stays the same from the first step to the last.

    Attributes:
        step: Compiled: (state, sums, batches) -> (state, sums).
        sums: The shapes of an epoch's sums.
        train: The batches to learn from.
        judge: The evaluator.
        callbacks: In the order in which they are called.
        epochs: Total number of epochs.
        steps: Number of steps in an epoch.
        steps_per_call: Number of steps in one call of `step`.
    """

    step: Any
    sums: Any
    train: OnDevice
    judge: Evaluator
    callbacks: tuple[Callback, ...]
    epochs: int
    steps: int
    steps_per_call: int

    @property
    def examples(self) -> int:
        """The number of examples in an epoch."""
        batches = self.train.batches
        return batches.examples_per_epoch * self.steps // (batches.steps_per_epoch or self.steps)

    def is_done(self, at: Position, history: History) -> bool:
        """Returns whether all epochs are done or a callback stops the run."""
        stops = (callback.should_stop(history) for callback in self.callbacks)
        return at.epoch >= self.epochs or (bool(history) and any(stops))

    def zeros(self, state: TrainState) -> Any:
        """Returns an epoch's initial sums, on the state's devices, so that all steps are one program."""
        sharding: Sharding = state.step.sharding
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=sharding), self.sums)


def _compile(train_step: TrainStep, state: TrainState, train: OnDevice, skip: bool) -> tuple[Any, Any]:
    """Returns (state, sums, batches) -> (state, sums), compiled when first called, and the shapes of sums."""
    step = make_program(train_step, state.params, _platform(state), skip=skip, mesh=train.mesh)
    batch = first_of(train, "learn from")
    with explained("the training step", batch):
        return step, jax.eval_shape(step, state, {}, [batch])[1]


def _check_types(state: Any, validation: Any, keep: Any, callbacks: Any) -> None:
    expect("the state", state, TrainState, "what make_state returns")
    expect("keep", keep, Keep, "train.Keep('runs/mine')")
    if validation is not None:
        expect("validation", validation, Validation, "train.Validation(eval_step, batches)")
    expect("callbacks", callbacks, Sequence, "a list of them")
    for callback in callbacks:
        expect("a callback", callback, Callback, "an object of a subclass of train.Callback")


def _platform(state: TrainState) -> str:
    return next(iter(state.step.devices())).platform


def _check_position(plan: _Plan, at: Position, journal: Journal) -> None:
    """Raises UserError if a run cannot continue as asked, and says so if it is finished."""
    if not journal.history and plan.epochs <= at.epoch:
        raise UserError(f"{plan.epochs} epochs: it must be more than the {at.epoch} that the state has done")
    if not 0 <= at.step - at.epoch * plan.steps <= plan.steps:
        raise UserError(
            f"step {at.step} after {at.epoch} epochs does not fit epochs of {plan.steps} steps: continue "
            "with the batch size and data it was trained with, or use another workdir"
        )
    if journal.workdir is not None and journal.history and plan.is_done(at, journal.history):
        say_finished(journal.workdir, at.epoch, plan.epochs)


class _Watch:
    """Checks between steps whether the run was told to stop, and whether its numbers are finite."""

    def __init__(self, train: OnDevice, journal: Journal, interrupts: Interrupts):
        self._batches, self._journal, self._interrupts = train.batches, journal, interrupts
        self._look = Every(REFRESH)

    def check(self, at: Position) -> None:
        """Raises the exception that ends the run here, if any, with everything saved."""
        if self._interrupts.due():
            self.check_finite(at)
            raise self._stopped(at)
        if jax.process_count() == 1 and self._look.due():  # several would look at different steps
            self.check_finite(at)

    def check_finite(self, at: Position) -> None:
        """Raises UserError if the sums are not finite; waits for the device."""
        check_finite(at.sums, at.state, self._batches, self._journal.workdir)

    def _stopped(self, at: Position) -> Interrupted:
        folder = self._journal.workdir
        saved = "; the exception holds the state reached (in a session: sys.last_value.state)"
        if folder is not None and (at.began is None or isinstance(self._batches, Batches)):
            self._journal.save(at, now=True)
            saved = f", all saved in {folder}"
        elif folder is not None:
            saved = (
                f"; {folder} holds the epochs before, and epoch {at.epoch + 1} will start anew: such batches "
                "cannot be resumed within an epoch"
            )
        message = f"stopped after step {at.step}{saved}"
        return Interrupted(message, self._interrupts.exit_code, at.state, self._journal.history)


def _train_epoch(
    plan: _Plan, stream: Iterator[Any], at: Position, watch: _Watch, progress: Progress
) -> Position:
    """Takes the remaining steps of the running epoch."""
    end, count = (at.epoch + 1) * plan.steps, plan.train.batches.count
    while at.step < end:
        batches = list(islice(stream, min(plan.steps_per_call, end - at.step)))
        state, sums = plan.step(at.state, at.sums, batches)
        wait_on_cpus(sums, plan.train.mesh)
        examples = sum(map(count, range(at.step, at.step + len(batches))))
        at = dataclasses.replace(at, state=state, sums=sums, step=at.step + len(batches))
        progress.update(at.epoch + 1, examples, sums)
        call(plan.callbacks, "on_step_end", state, sums)
        watch.check(at)
    return at


def _record(plan: _Plan, at: Position, watch: _Watch) -> dict[str, Any]:
    """Returns the record of the epoch that has just been trained, with an evaluation if one is due."""
    watch.check_finite(at)  # waits for the device
    epoch, seconds = at.epoch + 1, at.seconds
    check_some_kept(at.sums, epoch)
    record: dict[str, Any] = {"epoch": epoch, "step": at.step, **means(at.sums)}
    for callback in plan.callbacks:
        record |= callback.record(at.state)
    if plan.judge.is_due(epoch, plan.epochs):
        record |= plan.judge(at.state, partial(watch.check, at))
    seen = float(at.sums["count"]) + float(at.sums.get("skipped", 0))
    return record | {"seconds": round(seconds, 3), "examples_per_second": round(seen / seconds, 1)}
