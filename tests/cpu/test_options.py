"""What the formulations for CPUs do not suit is left to plain operations: gaps, other ranks, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.cpu import winograd
from tests.cpu.plain import check, for_cpu, random

MASK = np.random.default_rng(0).random((4, 6)) < 0.6


def test_settings_that_formulations_do_not_know():
    arrays = {
        "image": random(4, 6, 7, 20),
        "kernel": random(3, 3, 20, 17),
        "depthwise": random(3, 3, 20, 1),
        "sequence": random(4, 6, 20),
        "short": random(3, 20, 5),
        "scale": random(20),
    }

    def outputs(image, kernel, depthwise, sequence, short, scale):
        variables = {
            "params": {"scale": scale, "bias": scale},
            "batch_stats": {"mean": jnp.zeros(20), "var": jnp.ones(20)},
        }
        found = [
            nn.correlate(image, kernel, dilation=2),
            nn.depthwise_correlate(image, depthwise, padding="same", dilation=(1, 2)),
            nn.correlate(sequence, short, padding="causal"),
            nn.max_pool(sequence, (2,)),
            nn.BatchNorm().apply(variables, sequence, True, MASK, mutable=["batch_stats"])[0],
        ]
        return jnp.concatenate([y.reshape(-1) for y in found])

    check(outputs, *arrays.values(), tolerance=1e-4)


@pytest.mark.slow
def test_recurrent_layers_with_options():
    x, kernel, recurrent_kernel = random(4, 6, 5), random(5, 12), random(3, 12)
    layers = [
        nn.LSTM(3, use_bias=False, go_backwards=True),  # both in the formulation
        nn.LSTM(3, use_bias=False, return_state=True),
        nn.LSTM(3, use_bias=False, recurrent_activation="hard_sigmoid"),
    ]

    def outputs(x, kernel, recurrent_kernel):
        params = {"params": {"kernel": kernel, "recurrent_kernel": recurrent_kernel}}
        found = [layer.apply(params, x) for layer in layers]
        found += [layers[1].apply(params, x, mask=MASK)[0]]
        return jnp.concatenate([jnp.ravel(y) for y in jax.tree.leaves(found)])

    check(outputs, x, kernel, recurrent_kernel, tolerance=1e-4)


@pytest.mark.parametrize(
    "features, products, most",
    [
        (16, 48, 12),
        pytest.param(3, 48, 3 * 12, marks=pytest.mark.slow),
        pytest.param(64, 0, 16, marks=pytest.mark.slow),
    ],
)
def test_values_that_are_not_finite_reach_a_few_outputs_more(features, products, most, monkeypatch):
    """As docs/developing/speed.md says: where a window holds one, and next to it, in no other example."""
    monkeypatch.setattr(winograd, "PRODUCTS", products)  # 0: by tiles
    x = random(3, 12, 12, 16).at[1, 5, 5, 0].set(jnp.inf)
    spoilt = ~np.isfinite(np.asarray(for_cpu(nn.correlate)(x, random(3, 3, 16, features), 1, "same")))
    places = spoilt.any(-1)
    assert np.all(places[1, 4:7, 4:7])
    assert 9 <= places[1].sum() <= most
    assert not places[[0, 2]].any()
