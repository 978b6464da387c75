"""The version comes from the installed distribution, and is looked up on every import."""

import importlib
import importlib.metadata
import re

import pytest

import persidict


@pytest.fixture
def reloaded(monkeypatch):
    """Reload the package with another answer of the metadata; afterwards all is as before."""

    def reload(lookup):
        with monkeypatch.context() as patch:
            patch.setattr(importlib.metadata, "version", lookup)
            return importlib.reload(persidict).__version__

    yield reload
    importlib.reload(persidict)


def test_version_is_that_of_the_distribution():
    assert persidict.__version__ == importlib.metadata.version("persidict")


def test_version_has_three_numbers_first():
    assert re.match(r"\d+\.\d+\.\d+", persidict.__version__)


def test_reloading_looks_the_version_up_again(reloaded):
    assert reloaded(lambda name: f"{name}-9.8.7") == "persidict-9.8.7"


def test_version_of_a_package_that_is_not_installed_is_unknown(reloaded):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    assert reloaded(missing) == "unknown"


def test_reloading_keeps_the_classes(reloaded):
    before = persidict.FileDirDict
    importlib.reload(persidict)
    assert persidict.FileDirDict is before
