dC = object()
