"""Make exercises: from a forward pass, with known mistakes, released, and proved sound."""
