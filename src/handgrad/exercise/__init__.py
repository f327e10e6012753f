"""What the instructor's notebook asks for, its reference gradients, and the files of its release."""
