"""File systems as they are elsewhere: one that remembers names, and others by their kind alone."""

import errno
import os

import pytest

from persidict import _file_system

CALLS = "stat lstat open scandir replace unlink link symlink mkdir".split()


@pytest.fixture
def pretend(monkeypatch):
    """Let the system say of every folder that its file system is of a kind."""

    def forget():
        _file_system.ordinary.clear()
        _file_system._known.clear()
        _file_system._works.clear()
        _file_system.file_system_at.cache_clear()

    def start(kind, options="rw"):
        forget()
        monkeypatch.setattr(_file_system, "_mount_of", lambda folder: (kind, options))

    yield start
    forget()


class Remembering:
    """A client of a network file system: it remembers names, present and absent, for ever.

    It asks its server when it opens a file that it believes to be there, and when it lists a
    folder; then it forgets which names are absent in it. `elsewhere()` is another client.
    """

    def __init__(self, folder, monkeypatch):
        self.folder = str(folder)
        self.is_away = False
        self.names = {}  # path to what `stat` found, or `None`
        for name in (
            "stat",
            "lstat",
            "open",
            "scandir",
            "replace",
            "unlink",
            "link",
            "symlink",
            "mkdir",
        ):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def __enter__(self):
        self.is_away = True

    def __exit__(self, *_error):
        self.is_away = False

    def elsewhere(self):
        return self

    def _wrapped(self, name, original):
        def call(path, *args, **kwargs):
            if self.is_away or isinstance(path, int) or not str(path).startswith(self.folder):
                return original(path, *args, **kwargs)
            return getattr(self, name, self._changing)(original, str(path), *args, **kwargs)

        return call

    def _walk(self, path):
        """Go the way to a path by what is remembered, and remember what is on it."""
        if len(path) > len(self.folder):
            self._walk(os.path.dirname(path))
        if path not in self.names:
            self.names[path] = self._looked(path)
        if self.names[path] is None:
            raise FileNotFoundError(errno.ENOENT, "remembered", path)

    def stat(self, original, path, **kwargs):
        self._walk(path)
        return self.names[path]

    lstat = stat

    def open(self, original, path, flags, *args, **kwargs):
        self._walk(os.path.dirname(path) if flags & os.O_CREAT else path)
        try:
            return original(path, flags, *args, **kwargs)
        finally:
            self.names[path] = self._looked(path)

    def scandir(self, original, path):
        self._walk(path.rstrip("/"))
        for name, found in list(self.names.items()):
            if found is None and os.path.dirname(name) == path.rstrip("/"):
                del self.names[name]
        return original(path)

    def _changing(self, original, *paths, **kwargs):
        try:
            return original(*paths, **kwargs)
        finally:
            for path in paths:
                self.names.pop(path, None)

    def _looked(self, path):
        with self:
            try:
                return os.stat(path)
            except FileNotFoundError:
                return None


@pytest.fixture(params=["nfs", ""], ids=["nfs", "unknown"])
def network(request, tmp_path, monkeypatch, pretend):
    """`tmp_path` as a network file system shows it that remembers names."""
    pretend(request.param)
    return Remembering(tmp_path, monkeypatch)
