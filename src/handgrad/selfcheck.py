"""What the ``test_NAME.py`` of a released folder imports; the code stands in the packages below."""

from handgrad.course.commands.check_notebook import gradients, verdict

__all__ = ["gradients", "verdict"]
