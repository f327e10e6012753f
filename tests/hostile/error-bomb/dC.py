class Chain(Exception):
    pass
error = None
for number in range(10_000):
    error, cause = Chain(number), error
    error.__cause__ = cause
raise error
