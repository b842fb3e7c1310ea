"""jaxnets: a complete deep-learning course in JAX, with networks that agree with Keras in every number."""

__version__ = "0.1.0"
