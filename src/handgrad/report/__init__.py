"""The record of a graded submission, and every format in which it is shown: terminal, HTML, JSON, CSV.

Renderers are pure functions of a record. Every text ends with a newline. Whatever a student wrote (a name, the
message of an exception) is cleaned of control characters and escaped for the format at hand.
"""
