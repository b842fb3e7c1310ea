"""Learning rate schedules: each function returns a schedule, step -> rate, with steps counted from 0."""

from jaxnets.schedules.rates import (
    SCHEDULES,
    cosine_restarts,
    exponential_decay,
    piecewise_constant,
    polynomial,
    time_decay,
    warmup_cosine,
)
from jaxnets.schedules.words import complete, parse, takes_rate

__all__ = [
    "SCHEDULES",
    "complete",
    "cosine_restarts",
    "exponential_decay",
    "parse",
    "piecewise_constant",
    "polynomial",
    "takes_rate",
    "time_decay",
    "warmup_cosine",
]
