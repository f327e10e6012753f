"""What a student's notebook uses: ``cmp`` and ``progress``, and what they show. Needs torch only.

Everything shown is HTML and SVG with inline style only: no script, nothing loaded from elsewhere. Colours are
translucent or the page's own (``currentColor``), so that one output reads on light and on dark themes.
"""
