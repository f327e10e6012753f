class Meta(type):
    @property
    def __name__(self):
        raise KeyError
class Nameless(metaclass=Meta):
    pass
dh = Nameless()
