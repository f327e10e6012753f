"""What a student sees in Jupyter: the card of a check, the picture of a difference, the map of the exercise.

Everything here is text made of text: HTML and SVG with inline style only, no script, nothing loaded from elsewhere.
Colours are translucent or the page's own (``currentColor``), so that one output reads on light and on dark themes.
"""
