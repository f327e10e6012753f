"""The forward graph of an exercise: as plain data, laid out, and as one SVG. Standard library only."""
