"""Imports go one way; modules stay short; persidict_dask uses only what persidict offers."""

import ast
import functools
import pathlib

import pytest

import persidict
from tests.ids import stable

ROOT = pathlib.Path(__file__).parent.parent
LEVELS = """
jokers_and_status_flags exceptions extras safe_chars shown _words
safe_str_tuple safe_str_tuple_signing _foreign
_retry io_retry _windows _buffers reducers _array_pickles
_codecs
_json_pandas
_blobs owners _temporary _file_system _fences _lock_errors _file_lock _files _leftovers
_folder_listing _folder_blobs
_read_ahead _s3_errors _s3_attempts _s3_credentials _s3_bucket _s3_prefix _s3_proof _s3_changes
_s3_reads _s3_writes _s3_removals _s3_bulk _s3_blobs
_primitives _conditional _classic persi_dict
_item_dict _stored_dict local_dict empty_dict _wrapped_dict
file_dir_dict basic_s3_dict cached_mutable_dict cached_appendonly_dict write_once_dict
_cache_limit _cache_place _folder_cached s3_dict_file_dir_cached overlapping_multi_dict
__init__ testing
"""
LEVEL = {
    name: level for level, names in enumerate(LEVELS.strip().splitlines()) for name in names.split()
}
# What a public module of persidict may be imported for, besides the names of the package itself.
PUBLIC_MODULES = {name for name in LEVEL if not name.startswith("_")}
OPTIONAL = {"dask", "distributed", "bokeh", "boto3", "botocore", "pandas", "numpy", "pyarrow"}
# Modules that are themselves imported inside a function, when the library they serve is there.
BESIDE_A_LIBRARY = {"_json_pandas", "_array_pickles"} | {n for n in LEVEL if n[:4] == "_s3_"}
BESIDE_DASK = {"persidict_dask._hits"}  # the same in persidict_dask: a subclass of `Future`
HEAVY = {"numpy", "pandas", "boto3", "botocore", "joblib", "dask", "distributed", "jsonpickle"}


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def package_of(path):
    return ".".join(path.relative_to(ROOT).parent.parts)


def imports(path, nodes):
    """Yield (module, names) of each import statement among the nodes, relative ones resolved."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package_of(path).split(".")
            above = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (above, node.module) if part)
            yield module, [alias.name for alias in node.names]


def at_import_time(node):
    """Yield the statements that run when a module is imported: all but those of functions."""
    for child in ast.iter_child_nodes(node):
        is_typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not is_typing and not isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            yield child
            yield from at_import_time(child)


def layer(path):
    """The name under which a module of persidict stands in the levels."""
    first = path.relative_to(ROOT / "persidict").parts[0]
    return first.removesuffix(".py")


def layers_imported(path, nodes):
    for module, names in imports(path, nodes):
        if module == "persidict":
            yield from (name if name in LEVEL else "__init__" for name in names)
        elif module.startswith("persidict."):
            yield module.split(".")[1]


def name_of(path):
    """The dotted name of a module; of a package for its `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def packages_above(module):
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def modules_imported(path, nodes, known):
    """The known modules that run for the imports among the nodes; packages run before parts."""
    mine = name_of(path)
    for module, names in imports(path, nodes):
        parts = {f"{module}.{name}" for name in names} & known
        is_parts = bool(parts) and len(parts) == len(names)
        targets = (parts if is_parts else {module, *parts}) & known
        run = set().union(targets, *map(packages_above, targets))
        yield from run - packages_above(mine) - {mine}  # these are running already
        if not is_parts and module in packages_above(mine):
            yield module  # for a name that the package itself has got from somewhere


def imports_among(trees):
    """For each module its edges to the others, wherever in the module its imports stand."""
    known = {name_of(path) for path in trees}
    return {
        name_of(path): set(modules_imported(path, ast.walk(found), known))
        for path, found in trees.items()
    }


def in_circles(edges):
    """What is left when those that import nothing (more) are taken away, again and again."""
    while leaves := {name for name, found in edges.items() if not found & edges.keys()}:
        edges = {name: found for name, found in edges.items() if name not in leaves}
    return edges


@pytest.mark.parametrize("path", modules("persidict"), ids=lambda p: p.stem)
def test_every_module_has_its_level(path):
    assert layer(path) in LEVEL


@pytest.mark.parametrize("path", modules("persidict"), ids=lambda p: p.stem)
def test_no_module_imports_from_a_higher_level(path):
    mine = layer(path)
    found = set(layers_imported(path, ast.walk(tree(path)))) - {mine}
    assert {name for name in found if LEVEL[name] > LEVEL[mine]} == set()


def test_modules_of_one_level_do_not_import_each_other_in_a_circle():
    edges = {
        layer(path): set(layers_imported(path, ast.walk(tree(path)))) - {layer(path)}
        for path in modules("persidict")
    }
    assert in_circles(edges) == {}


def test_no_modules_of_persidict_dask_import_each_other_in_a_circle():
    """Imports inside functions and for type checkers count like all others."""
    trees = {path: tree(path) for path in modules("persidict_dask")}
    edges = imports_among(trees)
    assert edges["persidict_dask._code"] >= {"persidict_dask._code.identity"}
    assert in_circles(edges) == {}


@pytest.mark.parametrize("path", modules("persidict_dask"), ids=name_of)
def test_persidict_dask_imports_its_own_modules_at_the_top(path):
    inside = set(ast.walk(tree(path))) - set(at_import_time(tree(path)))
    found = {module for module, _ in imports(path, inside)}
    assert {module for module in found if module.startswith("persidict")} <= BESIDE_DASK


def circles_of(sources):
    """Circles among modules of a package that is made up of names and texts."""
    return set(
        in_circles(
            imports_among(
                {ROOT / "pkg" / name: ast.parse(source) for name, source in sources.items()}
            )
        )
    )


@pytest.mark.parametrize(
    "back",
    [
        "from pkg.a import f",
        "from pkg import a",
        "from . import a",
        "import pkg.a",
        "def f():\n    from pkg.a import g",
        "if TYPE_CHECKING:\n    from pkg.a import g",
    ],
)
def test_the_search_for_circles_finds_each_form_of_import(back):
    sources = {"__init__.py": "", "a.py": "import os\nfrom pkg.b import g", "b.py": back}
    assert circles_of(sources) == {"pkg.a", "pkg.b"}
    assert circles_of({**sources, "b.py": "import os"}) == set()


def test_the_search_for_circles_knows_what_runs_a_package():
    """Whoever imports a part of another package runs it; its own package is running already."""
    sources = {
        "__init__.py": "from pkg.a import f",
        "a.py": "from pkg.sub.c import g",
        "sub/__init__.py": "from pkg.sub.c import g",
        "sub/c.py": "from pkg.sub import d",
        "sub/d.py": "",
    }
    assert circles_of(sources) == set()
    assert circles_of({**sources, "sub/d.py": "from pkg.sub import g"}) >= {"pkg.sub", "pkg.sub.d"}
    assert circles_of({**sources, "sub/d.py": "import pkg"}) >= {"pkg", "pkg.a", "pkg.sub.d"}
    assert circles_of({**sources, "sub/__init__.py": "import pkg.a"}) >= {"pkg.a", "pkg.sub"}


@pytest.mark.parametrize("path", modules("persidict") + modules("persidict_dask"), ids=stable)
def test_no_module_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450


@pytest.mark.parametrize("path", modules("persidict") + modules("persidict_dask"), ids=stable)
def test_every_module_says_what_it_is_in_one_line(path):
    docstring = ast.get_docstring(tree(path))
    assert docstring
    assert len(docstring.splitlines()[0]) <= 100


@pytest.mark.parametrize("path", modules("persidict"), ids=lambda p: p.stem)
def test_persidict_knows_nothing_of_persidict_dask(path):
    found = {module.split(".")[0] for module, _ in imports(path, ast.walk(tree(path)))}
    assert "persidict_dask" not in found


@pytest.mark.parametrize("path", modules("persidict_dask"), ids=name_of)
def test_persidict_dask_uses_only_what_persidict_offers(path):
    for module, names in imports(path, ast.walk(tree(path))):
        if module == "persidict":
            assert set(names) <= set(persidict.__all__) | PUBLIC_MODULES
        elif module.startswith("persidict."):
            assert module.split(".")[1] in PUBLIC_MODULES
            assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize("path", modules("persidict"), ids=lambda p: p.stem)
def test_heavy_libraries_are_imported_where_they_are_used(path):
    if layer(path) in BESIDE_A_LIBRARY:
        importers = {p.stem for p in modules("persidict") if imports_at_top(p, layer(path))}
        assert importers <= BESIDE_A_LIBRARY
        return
    found = {module.split(".")[0] for module, _ in imports(path, at_import_time(tree(path)))}
    assert found & HEAVY == set()


def imports_at_top(path, name):
    return name in layers_imported(path, at_import_time(tree(path)))


@pytest.mark.parametrize("path", modules("persidict_dask"), ids=name_of)
def test_optional_libraries_are_imported_inside_functions(path):
    at_import = list(imports(path, at_import_time(tree(path))))
    if name_of(path) not in BESIDE_DASK:
        assert {module.split(".")[0] for module, _ in at_import} & OPTIONAL == set()
        assert {module for module, _ in at_import} & BESIDE_DASK == set()


def test_the_reader_of_imports_sees_what_it_should():
    code = """
import numpy.linalg
from persidict import _codecs, FileDirDict
from persidict._words import Guard
if TYPE_CHECKING:
    import pandas
class C:
    import boto3
def f():
    import dask
"""
    path, nodes = ROOT / "persidict" / "empty_dict.py", ast.parse(code)
    assert set(layers_imported(path, ast.walk(nodes))) == {"_codecs", "__init__", "_words"}
    found = {module.split(".")[0] for module, _ in imports(path, at_import_time(nodes))}
    assert found == {"numpy", "persidict", "boto3"}
    assert {m for m, _ in imports(path, ast.walk(nodes))} >= {"pandas", "dask"}
