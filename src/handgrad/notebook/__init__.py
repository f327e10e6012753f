"""A notebook file: read, repaired, its syntax, and its cells run without a kernel."""
