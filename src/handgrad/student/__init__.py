"""What a student's notebook uses: ``cmp``, ``progress`` and the helps, and what they show. Needs torch only.

What is installed here, and how to install the rest, is told to students and instructors alike.

Output is HTML and SVG with inline styles: no script, nothing loaded. Colours are translucent or the page's own
(``currentColor``), so that it is readable in light and in dark themes.
"""
