import builtins
hoard = builtins.hoard = {}
