"""What a trained run predicts with: the variables that its training judged, some examples at a time."""

import jax
import numpy as np
import optax
from flax import linen

from jaxnets import optim, runs
from jaxnets.data import Batches
from jaxnets.models import MODELS
from jaxnets.runs import run
from jaxnets.train import Keep, Validation, fit, make_eval_step, make_state, make_train_step, write_config
from tests.train.test_fit import BATCH, RATE, same_bits


def test_predictions_are_of_the_average_where_the_training_judged_it(source, tmp_path):
    model = MODELS["perceptron"](num_classes=3)
    descent = optax.chain(optax.sgd(RATE), optim.average_weights(0.9))

    def train(workdir, variables=None):
        write_config(workdir, runs.describe_features("perceptron", source.features, None, "unit"))
        state = make_state(model, descent, (4,))
        batches = Batches(source, BATCH, seed=3)
        validation = Validation(make_eval_step(model), batches, variables=variables)
        keep, step = Keep(workdir), make_train_step(model, descent)
        return fit(state, step, batches, epochs=2, validation=validation, keep=keep)[0]

    def averaged(state):
        return {**state.variables, "params": optim.averaged_weights(state.opt_state)}

    judged = train(tmp_path / "judged", variables=averaged)
    plain = train(tmp_path / "plain")
    kept = runs.load_run(tmp_path / "judged").variables
    assert same_bits(kept, averaged(judged))
    assert not same_bits(kept, judged.variables)
    assert same_bits(runs.load_run(tmp_path / "plain").variables, plain.variables)


def test_variables_that_are_computed_are_kept_as_well(source, tmp_path):
    """What the training judged is saved itself, not a guess at where in the state it lay."""
    model, descent = MODELS["perceptron"](num_classes=3), optax.sgd(RATE)
    write_config(tmp_path, runs.describe_features("perceptron", source.features, None, "unit"))
    state, batches = make_state(model, descent, (4,)), Batches(source, BATCH, seed=3)

    def halved(state):
        return jax.tree.map(lambda leaf: leaf / 2, state.variables)

    validation = Validation(make_eval_step(model), batches, variables=halved)
    step, keep = make_train_step(model, descent), Keep(tmp_path)
    state, _ = fit(state, step, batches, epochs=2, validation=validation, keep=keep)
    assert same_bits(runs.load_run(tmp_path).variables, halved(state))
    resumed, history = fit(state, step, batches, epochs=3, validation=validation, keep=keep)
    assert same_bits(runs.load_run(tmp_path).variables, halved(resumed))
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_many_examples_are_predicted_some_at_a_time(monkeypatch):
    """130 make two full batches and one that is filled up: one shape, one compilation."""
    model = MODELS["perceptron"]()
    variables = model.init(jax.random.key(0), np.zeros((1, 4)))
    x = np.random.default_rng(0).normal(size=(130, 4)).astype(np.float32)
    compiled, seen = run._forward, []

    def watched(options):
        def forward(model, variables, x, preprocess):
            seen.append(x.shape)
            return compiled(options)(model, variables, x, preprocess)

        return forward

    monkeypatch.setattr(run, "_forward", watched)
    found = runs.probabilities(model, variables, x)
    assert seen == [(64, 4)] * 3
    np.testing.assert_allclose(found, jax.nn.softmax(model.apply(variables, x)), rtol=1e-5)
    assert runs.probabilities(model, variables, x[:3]).shape == (3, 3)


def test_networks_that_predict_in_turns_are_compiled_once_each():
    traced = []

    class Scaled(linen.Module):
        factor: int

        def __call__(self, x):
            traced.append(self.factor)
            return self.factor * x

    x, after = np.eye(3, dtype=np.float32), []
    for _ in range(2):
        for factor in range(9):
            found = runs.probabilities(Scaled(factor), {}, x)
            np.testing.assert_allclose(found, jax.nn.softmax(factor * x), rtol=1e-6)
        after.append(len(traced))
    assert set(traced) == {*range(9)}
    assert after[0] == after[1]
