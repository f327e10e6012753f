class Silent(Exception):
    def __str__(self):
        raise SystemExit
    __repr__ = __str__
raise Silent
