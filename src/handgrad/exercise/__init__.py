"""The instructor's notebook: what it asks for, its reference gradients, and the files of its release."""
