"""A student's notebook, laid onto the exercise: which file, which cell, which name answers what."""
