"""Settings of every test: strict shapes, several virtual CPU devices, Keras (the oracle) on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # before anything imports keras
os.environ.setdefault("MPLBACKEND", "agg")

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
