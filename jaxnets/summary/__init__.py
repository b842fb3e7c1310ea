"""Summary of a network: its layers with their shapes, parameters, multiply-adds and connections."""

from jaxnets.summary.table import LayerRow, Summary, summarize

__all__ = ["LayerRow", "Summary", "summarize"]
