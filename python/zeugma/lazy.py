"""Attributes made when they are first asked for."""


class lazy:
    """A method as an attribute: called once per object, on the first use."""

    def __init__(self, make):
        self.make = make
        self.name = make.__name__
        self.__doc__ = make.__doc__

    def __set_name__(self, _, name):
        self.name = name

    def __get__(self, owner, _=None):
        if owner is None:
            return self
        value = owner.__dict__[self.name] = self.make(owner)
        return value
