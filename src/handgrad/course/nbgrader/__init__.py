"""The only package that knows nbgrader, its database and nbconvert."""
