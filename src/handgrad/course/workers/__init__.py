"""The processes that grade a class."""

WORKER = "handgrad.course.workers.worker"
"""The module that grades: workers import it, and torch with it; the command does not."""
PRELOAD = ("handgrad.notebook.slow_imports", WORKER)
"""What is imported before the workers are forked."""
