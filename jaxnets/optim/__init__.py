r"""Optimizers as Optax chains, in two dialects.

`OPTIMIZERS` follows Keras 3: the numbers agree with `keras.optimizers` up to rounding. `TEXTBOOK` follows the
course: every optimizer has a first moment m and a second moment V of the gradient g, and
w <- w - lr m / sqrt(V), without any epsilon; where V is 0 the step is 0 instead of 0/0.

| name     | `OPTIMIZERS` (Keras 3)                          | `TEXTBOOK`                                   |
|----------|-------------------------------------------------|----------------------------------------------|
| sgd      | w <- w - lr g                                   | m = g                                        |
| sgdm     | v <- .9 v - lr g;  w <- w + v                   | m <- .9 m + .1 g                             |
| nesterov | v <- .9 v - lr g;  w <- w + .9 v - lr g         | m <- .9 m + .1 g;  step along .9 m + .1 g    |
| adagrad  | s <- s + g^2 from 0.1;  w <- w - lr g/sqrt(s+e) | m = g;  V <- V + g^2                         |
| rmsprop  | s <- .9 s + .1 g^2;  w <- w - lr g/sqrt(s+e)    | m = g;  V <- .9 V + .1 g^2                   |
| adam     | w <- w - lr' m/(sqrt(v)+e),                     | m <- .9 m + .1 g;  V <- .999 V + .001 g^2,   |
|          | lr' = lr sqrt(1-.999^t)/(1-.9^t)                | both divided by 1 - beta^t                   |
| nadam    | Dozat's rising momentum .9 (1 - .96^t/2)        | Adam with .9 m/(1-.9^(t+1)) + .1 g/(1-.9^t)  |
| adadelta | rho .95, e = 1e-7 inside both roots             | rho .95, e = 1e-6 (its start needs one)      |
| adamw    | adam, and w <- w - lr 0.004 w                   | adam, and w <- w - lr 0.004 w                |
| adamax   | adam with u <- max(.999 u, abs(g)) for sqrt(v)  | -                                            |
| adafactor| averages of rows and columns for v              | -                                            |
| lion     | w <- w - lr sign(.9 m + .1 g)                   | -                                            |
| lamb     | adam, with the step's length as lr times w's    | -                                            |
| muon     | Optax's: orthogonal for kernels, else Adam      | -                                            |

e is 1e-7, and m and v start at 0, unless given. Keras keeps the learning rate inside SGD's velocity: a change
of the rate does not rescale the steps already in the velocity, while in the textbook it does.

Every entry takes the learning rate, a number or a schedule (`jaxnets.schedules`), and its own keywords:

Examples:
    >>> import jax.numpy as jnp, optax
    >>> from jaxnets import optim
    >>> optimizer = optax.chain(optim.clip_by_global_norm(1.0), optim.OPTIMIZERS["adam"](1e-3))
    >>> state = optimizer.init(jnp.zeros(2))
    >>> updates, state = optimizer.update(jnp.array([3.0, -4.0]), state)
    >>> print(updates.round(4))
    [-0.001  0.001]
"""

from jaxnets.optim.keras import (
    OPTIMIZERS,
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamax,
    adamw,
    lamb,
    lion,
    muon,
    nadam,
    nesterov,
    rmsprop,
    sgd,
    sgdm,
)
from jaxnets.optim.moments import (
    scale_by_keras_adafactor,
    scale_by_keras_adam,
    scale_by_keras_adamax,
    scale_by_keras_nadam,
)
from jaxnets.optim.spherical import orthogonalize, spherical_muon
from jaxnets.optim.textbook import TEXTBOOK, nesterov_average, scale_by_moments
from jaxnets.optim.transforms import (
    accumulate,
    add_decayed_weights,
    add_penalty,
    average_weights,
    averaged_weights,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    keeps_types,
    with_weight_decay,
)

__all__ = [
    "OPTIMIZERS",
    "TEXTBOOK",
    "accumulate",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "add_decayed_weights",
    "add_penalty",
    "average_weights",
    "averaged_weights",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "keeps_types",
    "lamb",
    "lion",
    "muon",
    "nadam",
    "nesterov",
    "nesterov_average",
    "orthogonalize",
    "rmsprop",
    "scale_by_keras_adafactor",
    "scale_by_keras_adam",
    "scale_by_keras_adamax",
    "scale_by_keras_nadam",
    "scale_by_moments",
    "sgd",
    "sgdm",
    "spherical_muon",
    "with_weight_decay",
]
