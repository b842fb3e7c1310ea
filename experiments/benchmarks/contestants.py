"""One framework with one network, in a process of its own that does and times the steps asked for.

`suite` starts it as `python -m experiments.benchmarks.contestants SPEC` and exchanges lines of JSON with it.
It reports when its imports are done, when the first step is done, and when it is ready; after that it answers
every number of steps with the seconds that one took. Each framework gets the best settings known for it:

- jaxnets: what `train.fit` compiles: the guarded step, as many at once as it chooses for the device and the
  network; for inference the folded network of `predict`.
- keras-tensorflow: `fit` over a repeated tensor, several steps per execution, with or without `jit_compile`.
- keras-jax: one jitted `stateless_call` step with donated buffers, as in Keras's guide to custom loops.
- torch, torch.compile: fused Adam; channels-last or not, one thread or all; on a GPU channels-last, cuDNN's
  benchmark and TF32; `max-autotune` on GPUs, frozen weights for inference on CPUs.

Alternatives ("or") are tried in the same process, and the fastest is kept.
"""

from experiments.benchmarks.contest import Ready, Run, Spec, best_of, examples, regression, say, serve
from experiments.benchmarks.torch_contestant import pytorch, torch_matrix

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

EPOCH = 51_200  # examples, about as many as MNIST and CIFAR-10 have: how many steps at once depends on it


def jax_memory() -> int | None:
    """Peak bytes on the first device."""
    import jax

    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def jaxnets(spec: Spec) -> Ready:
    """What `fit` and `predict` run, on a batch that lies on the device."""
    from jaxnets import losses, optim, train
    from jaxnets.data.device import replicate
    from jaxnets.folding import fold_batch_norm
    from jaxnets.machine import set_up
    from jaxnets.models import MODELS
    from jaxnets.platforms import by_platform
    from jaxnets.summary import summarize
    from jaxnets.train.program import make_program
    from jaxnets.train.steps_per_call import library_options, steps_per_call

    import jax
    import jax.numpy as jnp

    say("imported")
    set_up()  # before the first computation
    model = MODELS[spec.network](dtype=jnp.bfloat16 if spec.dtype == "bfloat16" else None)
    x, y = examples(spec)
    optimizer = optim.OPTIMIZERS["adam"](1e-3)
    state = train.make_state(model, optimizer, spec.shape)
    batch: Any = {"x": x, "y": y, "mask": np.ones(spec.batch, np.float32)}
    mesh = train.make_mesh(spec.devices) if spec.devices > 1 else None
    if mesh is not None:
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(mesh.axis_names[0]))
        state, batch = replicate(state, mesh), jax.device_put(batch, split)
    batch = jax.device_put(batch)
    about = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.variables)),
        "multiply_adds": summarize(model, spec.shape).multiply_adds,
        "device_bytes": jax_memory,
    }
    if spec.kind == "inference":
        network, variables = fold_batch_norm(model, state.variables, spec.shape)
        options = library_options(variables["params"], jax.default_backend())
        forward = by_platform(lambda variables, x: network.apply(variables, x))
        apply = jax.jit(forward, compiler_options=options)

        def infer(steps: int) -> None:
            for _ in range(steps):
                out = apply(variables, batch["x"])
            jax.block_until_ready(out)

        return Ready(infer, settings="jit", **about)
    loss = losses.mean_squared_error if regression(spec) else losses.sparse_categorical_crossentropy
    how = state.params, jax.default_backend()
    together = steps_per_call(EPOCH // spec.batch, *how)
    step = make_program(train.make_train_step(model, optimizer, loss=loss, metrics={}), *how, mesh=mesh)
    _, shapes = jax.eval_shape(step, state, {}, [batch])
    carry = [state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)]

    def run(steps: int) -> None:
        for _ in range(steps // together):
            carry[:] = step(*carry, [batch] * together)
        jax.block_until_ready(carry)

    return Ready(run, settings=f"jit, {together} at once", unit=together, **about)


def keras_twin(spec: Spec, backend: str) -> Any:
    """The Keras network, with our dropout."""
    os.environ["KERAS_BACKEND"] = backend
    from tests.keras_twins import KERAS_MODELS

    import keras

    say("imported")
    if spec.dtype == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    dropout = {"fashion_cnn": 0.5, "baseline": 0.2, "alexnet8": 0.5, "vgg16_cifar": 0.2, "stock": 0.2}
    rate = dropout.get("stock" if regression(spec) else spec.network)
    return KERAS_MODELS[spec.network](spec.shape, **({} if rate is None else {"dropout": rate}))


def keras_loss(spec: Spec) -> Any:
    """From logits, or squared errors."""
    import keras

    if regression(spec):
        return keras.losses.MeanSquaredError()
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def keras_tensorflow(spec: Spec) -> Ready:
    """Model.fit, as its users call it."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    model = keras_twin(spec, "tensorflow")
    import keras

    x, y = (tf.constant(values) for values in examples(spec))
    endless = tf.data.Dataset.from_tensors((x, y)).repeat()

    def fitted(jit: bool) -> Run:
        twin = keras.models.clone_model(model)
        twin.compile(
            keras.optimizers.Adam(1e-3), keras_loss(spec), jit_compile=jit, steps_per_execution=spec.at_once
        )
        return lambda steps: twin.fit(endless, epochs=1, steps_per_epoch=steps, verbose=0)

    def called(jit: bool) -> Run:
        call = tf.function(lambda x: model(x, training=False), jit_compile=jit)

        def run(steps: int) -> None:
            for _ in range(steps):
                out = call(x)
            out.numpy()

        return run

    make, unit = (called, 1) if spec.kind == "inference" else (fitted, spec.at_once)
    makers = {"graph": partial(make, False), "jit_compile": partial(make, True)}
    settings, run, tried = best_of(makers, spec, unit)
    peak = (lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"]) if gpus else lambda: None
    return Ready(run, model.count_params(), settings, unit, tried, device_bytes=peak)


def keras_jax(spec: Spec) -> Ready:
    """Keras's stateless functions under one jit."""
    import jax

    model = keras_twin(spec, "jax")
    import keras

    x, y = (jax.device_put(values) for values in examples(spec))
    loss, optimizer = keras_loss(spec), keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    carry = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    ]
    about = {"parameters": model.count_params(), "device_bytes": jax_memory}
    if spec.kind == "inference":
        apply = jax.jit(lambda trained, rest, x: model.stateless_call(trained, rest, x, training=False)[0])

        def infer(steps: int) -> None:
            for _ in range(steps):
                out = apply(*carry[:2], x)
            jax.block_until_ready(out)

        return Ready(infer, settings="jit", **about)

    def objective(trained: Any, rest: Any, x: Any, y: Any) -> Any:
        logits, rest = model.stateless_call(trained, rest, x, training=True)
        return loss(y, logits), rest

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(trained: Any, rest: Any, memory: Any, x: Any, y: Any) -> Any:
        (_, rest), grads = jax.value_and_grad(objective, has_aux=True)(trained, rest, x, y)
        return *optimizer.stateless_apply(memory, grads, trained), rest

    def run(steps: int) -> None:
        for _ in range(steps):
            carry[0], carry[2], carry[1] = step(*carry, x, y)
        jax.block_until_ready(carry)

    return Ready(run, settings="jit", **about)


def jax_matrix(spec: Spec) -> Ready:
    """Products of square matrices."""
    import jax
    import jax.numpy as jnp

    say("imported")
    a, b = jax.random.normal(jax.random.key(0), (2, spec.batch, spec.batch), jnp.dtype(spec.dtype))
    product = jax.jit(jnp.matmul)

    def run(steps: int) -> None:
        for _ in range(steps):
            out = product(a, b)
        jax.block_until_ready(out)

    return Ready(run, 0, "jit", multiply_adds=spec.batch**2, device_bytes=jax_memory)


CONTESTANTS: dict[str, Callable[[Spec], Ready]] = {
    "jaxnets": jaxnets,
    "keras-tensorflow": keras_tensorflow,
    "keras-jax": keras_jax,
    "torch": partial(pytorch, compiled=False),
    "torch.compile": partial(pytorch, compiled=True),
}
MATRICES = {"jaxnets": jax_matrix, "torch": torch_matrix}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    spec = Spec(**{**asked, "shape": tuple(asked["shape"])})
    serve((MATRICES if spec.kind == "matrix" else CONTESTANTS)[spec.contestant], spec)
