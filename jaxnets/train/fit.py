"""The training loop: the only one, and the only place where state, data, metrics and checkpoints meet."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, Sharding

from jaxnets.data.device import OnDevice, on_device, replicate
from jaxnets.data.sampler import Batches
from jaxnets.errors import Interrupted, UserError
from jaxnets.train.distributed import settle
from jaxnets.train.interrupt import Interrupts
from jaxnets.train.journal import Journal
from jaxnets.train.monitor import History, Mode, check_measured, monitor_of, sign_of
from jaxnets.train.nonfinite import check_some_kept, guarded, report
from jaxnets.train.progress import REFRESH, Every, make_progress, say_finished
from jaxnets.train.state import TrainState, origins
from jaxnets.train.step import means, measured
from jaxnets.train.together import at_once, compiler_options, scans, several

Moment = Literal["train_begin", "epoch_begin", "step_end", "epoch_end", "train_end"]
Callbacks = Mapping[Moment, Callable[[TrainState, Any], TrainState | None]]


def fit(
    state: TrainState,
    train_step: Callable[..., Any],
    train: Batches | OnDevice,
    *,
    epochs: int,
    steps_per_epoch: int | None = None,
    eval_step: Callable[..., Any] | None = None,
    validation: Batches | OnDevice | None = None,
    validate_every: int = 1,
    evaluated: Callable[[TrainState], Any] = lambda state: state.variables,
    workdir: Path | None = None,
    keep: int = 2,
    best: str | None = None,
    best_mode: Mode = "auto",
    restore_best: bool = False,
    stop: Callable[[History], bool] | None = None,
    on_nonfinite: Literal["stop", "skip"] = "stop",
    callbacks: Sequence[Callbacks] = (),
    mesh: Mesh | None = None,
    steps_at_once: int | None = None,
    learning_rate: float | Callable[[int], Any] | None = None,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains up to `epochs` epochs in all, from the workdir's last checkpoint when there is one.

    Args:
        state: where to start; taken over (its buffers are donated to the first step).
        train_step: a pure step, as `make_train_step` returns it.
        train: the batches to learn from; they go to the device as `on_device` does by itself, or as given.
        epochs: how many epochs the run has in all, those that the state or the workdir has done included.
        steps_per_epoch: steps between two records; a whole pass over the data when left out.
        eval_step: a pure step, as `make_eval_step` returns it.
        validation: the batches to judge by.
        validate_every: epochs from one validation to the next; the last epoch is always validated.
        evaluated: of the state, the variables to judge; an average of the weights, for instance. Where it
            picks them out of the state, `load_run` (predict, evaluate, export) takes the same ones.
        workdir: where metrics.jsonl and checkpoints go; nothing is written when left out.
        keep: how many of the newest checkpoints stay.
        best: a measure ("val_loss"); the state that was best by it is kept in `workdir/best`.
        best_mode: whether less ("min") or more ("max") of it is better; "auto": as its name tells.
        restore_best: return that state, but for its step (needs `best`).
        stop: of the history, whether to stop before `epochs`; see `early_stopping`.
        on_nonfinite: a loss or gradient that is nan or infinite stops the run within a second (of several
            processes, at the epoch's end), with the state before it and the batch's indices saved; or skips
            that step: nothing changes but the step number.
        callbacks: functions by moment, called with the state and, at "step_end", the epoch's running sums
            (on the device), else the history; one at "epoch_end" may return another state to go on with.
        mesh: devices to spread every batch over, by the mesh's first axis, those of other processes
            included; the state lies whole on each of them, and the results are those of one device.
        steps_at_once: steps compiled into one program, between which nothing is looked at ("step_end"
            comes after all of them); chosen by device and network when left out.
        learning_rate: a number or a schedule, to be noted in every record.

    Returns:
        The state after the last epoch, and a record an epoch: epoch (from 1), step, loss, accuracy,
        val_loss, val_accuracy, seconds, examples_per_second (of the training part).

    Raises:
        UserError: `epochs` is not positive, or no more than the given state has done; the loss or gradient is
            not finite; what shall be watched is not measured; a checkpoint does not fit or cannot be written;
            another process trains in the workdir.
        Interrupted: Ctrl-C or SIGTERM came, and the run is saved.

    Examples:
        >>> import jax, optax
        >>> from jaxnets import data, models, train
        >>> model, optimizer = models.MODELS["perceptron"](), optax.sgd(0.1)
        >>> iris = data.load("iris")
        >>> state = train.make_state(model, optimizer, iris.features.shape)
        >>> step = train.make_train_step(model, optimizer)
        >>> state, history = train.fit(state, step, data.Batches(iris.train, 32, seed=0), epochs=2)
        >>> [record["epoch"] for record in history]
        [1, 2]
    """
    if epochs < 1:
        raise UserError(f"{epochs} epochs: it must be at least 1")
    if restore_best and best is None:
        raise UserError("restore_best needs to know by what: give best='val_loss', or another measure")
    if workdir is not None and mesh is None and jax.process_count() > 1:
        raise UserError(f"several processes share {workdir}: give fit the mesh that make_mesh() returns")
    train = on_device(train, mesh=mesh)
    validation = on_device(validation, mesh=mesh) if validation is not None else None
    # Committed, as a restored state is: what is fresh and what is restored are one program, compiled once.
    state = jax.tree.map(lambda leaf: jax.device_put(leaf, leaf.sharding), replicate(state, mesh))
    steps = steps_per_epoch or train.steps_per_epoch
    together = steps_at_once or at_once(steps, state.params)
    done = int(state.step) // steps
    one = partial(guarded, train_step, on_nonfinite == "skip")
    program = partial(several, one, unrolled=not scans(state.params))
    step = jax.jit(program, donate_argnums=(0, 1), compiler_options=compiler_options(state.params))
    measure = jax.jit(eval_step) if eval_step is not None else None

    def call(moment: Moment, state: TrainState, seen: Any) -> TrainState:
        for functions in callbacks:
            if moment in functions:
                changed = functions[moment](state, seen)
                state = state if changed is None else changed
        return state

    _, shapes = jax.eval_shape(step, state, {}, [next(train.epoch())])
    watching = [stop, *(function for some in callbacks for function in some.values())]
    if any(monitors := [best, *map(monitor_of, watching)]):
        names = measured(shapes)
        if measure is not None and validation is not None:
            held_out = jax.eval_shape(measure, evaluated(state), next(validation.epoch()))
            names += [f"val_{name}" for name in measured(held_out)]
        check_measured(monitors, names)
    if best is not None:
        sign_of(best, best_mode)
    journal = Journal(workdir, keep, best, best_mode, origins(evaluated, state))
    with Interrupts(active=workdir is not None) as interrupts, journal:
        state, sums = journal.restore(state, _zeros(shapes, state.step.sharding))
        history, taken = journal.history, int(state.step)
        if not history and epochs <= done:
            raise UserError(f"{epochs} epochs: it must be more than the {done} that the state has done")
        done = history[-1]["epoch"] if history else done
        if not 0 <= taken - done * steps <= steps:
            raise UserError(
                f"step {taken} after {done} epochs does not fit epochs of {steps} steps: continue with the "
                "batch size and data it was trained with, or use another workdir"
            )

        finished = bool(history) and (done >= epochs or (stop is not None and stop(history)))
        if finished and workdir is not None:
            say_finished(workdir, done, epochs)

        def check(state: TrainState, sums: Any) -> None:
            if interrupts.due():
                report(sums, state, train, workdir)
                within = taken > done * steps  # an epoch, its evaluation included
                journal.save(state, sums, now=True, seconds=time.perf_counter() - start if within else 0.0)
                saved = f", all saved in {workdir}" if workdir is not None else ""
                raise Interrupted(f"stopped after step {taken}{saved}", interrupts.exit_code)
            if jax.process_count() == 1 and look.due():  # several would look at different steps
                report(sums, state, train, workdir)

        def count(steps: Iterable[int]) -> int:
            return sum(map(train.batches.count, steps))

        look, spent = Every(REFRESH), journal.seconds
        stream = train.steps(taken)  # the batches of all epochs: which they are depends on nothing else
        size = len(train.source) * steps // train.steps_per_epoch
        with make_progress(epochs, done, size) as progress:
            call("train_begin", state, history)
            while done < epochs and not (stop is not None and history and stop(history)):
                epoch, start = done + 1, time.perf_counter() - spent
                call("epoch_begin", state, history)
                seen, spent = count(range(done * steps, taken)), 0.0
                while taken < epoch * steps:
                    batches = list(islice(stream, min(together, epoch * steps - taken)))
                    state, sums = step(state, sums, batches)
                    settle(sums, mesh)
                    examples = count(range(taken, taken + len(batches)))
                    taken += len(batches)
                    seen += examples
                    progress.update(epoch, examples, sums)
                    call("step_end", state, sums)
                    check(state, sums)
                report(sums, state, train, workdir)  # waits for the device
                check_some_kept(sums, epoch)
                trained, seconds = means(sums), time.perf_counter() - start
                record = {"epoch": epoch, "step": taken, **trained}
                if learning_rate is not None:
                    rate = learning_rate(taken) if callable(learning_rate) else learning_rate
                    record["learning_rate"] = float(rate)
                due = epoch % validate_every == 0 or epoch == epochs
                if measure is not None and validation is not None and due:
                    watch = partial(check, state, sums)
                    held_out = evaluate(measure, evaluated(state), validation, watch)
                    record |= {f"val_{name}": value for name, value in held_out.items()}
                record |= {"seconds": round(seconds, 3), "examples_per_second": round(seen / seconds, 1)}
                journal.append(record)
                done, sums = epoch, _zeros(shapes, state.step.sharding)
                journal.save_if_best(state, sums)
                progress.end_epoch(record)
                state = call("epoch_end", state, history)
                journal.save(state, sums, now=epoch == epochs)
                check(state, sums)
            journal.save(state, sums, now=True)
        state = journal.restore_best(state, sums) if restore_best else state
        call("train_end", state, history)
    return state, history


def evaluate(
    eval_step: Callable[..., Any],
    variables: Mapping[str, Any],
    batches: Batches | OnDevice,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Returns the means of loss and measures over all examples of `batches`, each counted once.

    Args:
        eval_step: a pure step, as `make_eval_step` returns it, jit-compiled.
        variables: what to judge.
        batches: by which examples.
        check: called after every batch; it may raise to stop.
    """
    sums: Any = None
    placed = on_device(batches)
    for batch in placed.epoch():
        some = eval_step(variables, batch)
        sums = some if sums is None else jax.tree.map(jnp.add, sums, some)
        settle(sums, placed.mesh)
        check()
    return means(sums)


def _zeros(shapes: Any, sharding: Sharding) -> Any:
    """Sums to start an epoch with, where the state is: its first step is the same program as the others."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype, device=sharding), shapes)
