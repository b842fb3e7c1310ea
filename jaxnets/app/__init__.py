"""A local page for drawing pictures that a trained network classifies: `python -m jaxnets app WORKDIR`."""

from jaxnets.app.server import serve

__all__ = ["serve"]
