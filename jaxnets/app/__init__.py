"""A local page on which to draw for a trained network: `python -m jaxnets app WORKDIR`."""

from jaxnets.app.server import serve

__all__ = ["serve"]
