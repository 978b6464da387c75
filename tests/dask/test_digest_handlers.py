"""Which handler a type gets: the order of the claims on it, and what is kept of the answer."""

from persidict_dask import digest, register_digest
from persidict_dask._digest import table


def test_a_registered_function_wins_over_the_protocol():
    """Whoever registers a class means it, whatever the class says of itself."""

    class Connection:
        def __init__(self, url, number):
            self.url, self.number = url, number

        def __persist_token__(self):
            return self.number

    assert digest(Connection("a", 1)) != digest(Connection("a", 2))
    register_digest(Connection, lambda connection: connection.url)
    assert digest(Connection("a", 1)) == digest(Connection("a", 2)) != digest(Connection("b", 1))


def test_code_objects_are_told_apart_by_what_they_do():
    """The name of a code object is not all of it."""

    def compiled(body):
        return compile(body, "somewhere.py", "exec")

    assert digest(compiled("x = 1")) == digest(compiled("\nx  =  1  # one"))
    assert digest(compiled("x = 1")) != digest(compiled("x = 2"))


def test_types_are_forgotten_when_there_are_many(monkeypatch):
    """A session that makes classes in a loop does not keep all of them."""
    monkeypatch.setattr(table, "_KEPT", 3)
    asked = []

    def find(cls):
        asked.append(cls)
        return lambda _, obj: b""

    handlers = table.Table()
    handlers.find_by(find)
    for cls in (int, str, int, list, int, dict, int):
        assert handlers.handler_of(cls)(None, None) == b""
    assert asked == [int, str, list, dict, int]
