"""Which formulation is traced, and how XLA is made to compute something once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_plain = ContextVar("plain", default=False)


@contextmanager
def plain_operations() -> Iterator[None]:
    """Inside this context layers are traced in the plain formulation that suits every backend.

    For programs that run elsewhere (exports), and for forward-mode derivatives (`jax.jvp`) of convolutions,
    max pooling, BatchNorm, LSTM, GRU and large Dense layers, whose gradients are written by hand.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def for_cpu() -> bool:
    """Whether to trace the formulations for CPUs."""
    return jax.default_backend() == "cpu" and not _plain.get()


def stored(function: Callable[..., Any], *arrays: Any, by: jax.Array | None = None) -> Any:
    """Returns function(*arrays), an array or several, computed once.

    XLA computes a long elementwise function again in every loop that uses its result, unless it stands behind
    a condition. This one XLA cannot foresee, and it makes no difference: whether the first number of ``by``
    is finite, or of the last array.
    """
    by = arrays[-1] if by is None else by
    if by.size == 0:
        return function(*arrays)
    number = lax.slice(by.reshape(-1), (0,), (1,)).reshape(())
    return lax.cond(number < jnp.inf, function, function, *arrays)
