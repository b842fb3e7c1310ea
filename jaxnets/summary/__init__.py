"""What a network consists of: layers, shapes, parameters, multiply-adds; and what its program tells."""

from jaxnets.summary.table import LayerRow, Summary, summarize

__all__ = ["LayerRow", "Summary", "summarize"]
