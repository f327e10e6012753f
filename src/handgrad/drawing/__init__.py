"""The forward graph of an exercise: as plain data, laid out, and as one SVG.

Standard library only: a student's notebook draws with it, and so do the pages of a class.
"""

from handgrad.drawing.forward import ForwardGraph, distances
from handgrad.drawing.svg import Node, draw

__all__ = ["ForwardGraph", "Node", "distances", "draw"]
