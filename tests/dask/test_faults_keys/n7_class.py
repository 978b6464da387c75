"""A class whose persisted methods reach different parts of it; its edits are in n7.txt."""

import functools

from persidict_dask import persist


class Described:
    def __get__(self, instance, owner):
        return 97  # described


class Base:
    def inherited(self, x):
        return x + 30  # inherited

    def overridden(self, x):
        return x + 40  # overridden


class Model(Base):
    limit = 10
    base = 20
    steps = [1]
    described = Described()

    class Row:
        size = 90

    def __init__(self, weight):
        self.weight = weight  # construction

    def __len__(self):
        return 70  # length

    def helper(self, x):
        return self.deep(x) + self.plus(x)

    def plus(self, x):
        return x + 1  # helper

    def deep(self, x):
        return x * 3  # deep

    @property
    def rate(self):
        return 5  # rate

    @functools.cached_property
    def table(self):
        return 7  # table

    @classmethod
    def made(cls):
        return cls.base + 1

    @staticmethod
    def fixed(x):
        return x - 1  # fixed

    def overridden(self, x):
        return super().overridden(x) + self.helper(x)

    def nested(self, x):
        return x + 95  # nested

    def unused(self):
        return 80  # unused

    @persist("{cache}")
    def alone(self, x):
        return x + 60  # alone

    @persist("{cache}")
    def reads_its_weight(self, x):
        return self.weight * x

    @persist("{cache}")
    def calls_helper(self, x):
        return self.helper(x)

    @persist("{cache}")
    def calls_by_a_local_name(self, x):
        call = self.helper
        return call(x)

    @persist("{cache}")
    def takes_a_bound_method(self, x):
        return list(map(self.helper, [x]))

    @persist("{cache}")
    def reads_a_property(self, x):
        return self.rate * x

    @persist("{cache}")
    def reads_a_cached_property(self, x):
        return self.table * x

    @persist("{cache}")
    def reads_an_attribute(self, x):
        return self.limit + x

    @persist("{cache}")
    def reads_a_list(self, x):
        return self.steps[0] + x

    @persist("{cache}")
    def calls_a_class_method(self, x):
        return self.made() + x

    @persist("{cache}")
    def calls_a_static_method(self, x):
        return self.fixed(x)

    @persist("{cache}")
    def calls_what_is_inherited(self, x):
        return self.inherited(x)

    @persist("{cache}")
    def calls_through_super(self, x):
        return self.overridden(x)

    @persist("{cache}")
    def persisted(self, x):
        return x * 50  # persisted

    @persist("{cache}")
    def calls_a_persisted_method(self, x):
        return self.persisted(x) + 1

    @persist("{cache}")
    def reads_a_nested_class(self, x):
        return self.Row.size + x

    @persist("{cache}")
    def calls_in_a_nested_function(self, x):
        return [self.nested(value) for value in (lambda y: [y])(x)]

    @persist("{cache}")
    def reads_a_descriptor(self, x):
        return self.described + x
