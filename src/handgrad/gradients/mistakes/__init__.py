"""The catalogue of known mistakes: each recognises itself in the values of a wrong answer."""
