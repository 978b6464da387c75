"""Digests of what libraries hold: labelled arrays, stored arrays, files, compiled functions."""

from __future__ import annotations

import collections
import dataclasses
import functools
import io
import multiprocessing
import multiprocessing.shared_memory
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import zipfile

import cloudpickle
import dask.array
import diskcache
import fsspec
import numba
import numba.typed
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import scipy.spatial
import xarray as xr
import zarr

from persidict_dask import UnstableKeyError, digest

GRID = np.arange(20.0).reshape(4, 5)


def all_different(values):
    found = collections.defaultdict(list)
    for value in values:
        found[digest(value)].append(value)
    assert [same for same in found.values() if len(same) > 1] == []


# -- xarray -------------------------------------------------------------------------------------


def dataset(**more):
    coords = {"x": [1, 2], "y": ["a", "b", "c"], "t": ("x", pd.date_range("2026", periods=2))}
    data = {"a": ("x", [1, 2]), "b": (("x", "y"), np.ones((2, 3)))}
    return xr.Dataset(data | more, coords, attrs={"unit": "m"})


def test_n3_equal_datasets_are_equal_before_and_after_use():
    """Printed, selected from, copied, pickled, cloudpickled."""
    first, second = dataset(), dataset()
    before = digest(first)
    assert repr(first)
    assert first.sel(x=1).identical(second.sel(x=1))
    assert len(first.to_dataframe()) == 6
    assert digest(first) == digest(second) == digest(first.copy(deep=True)) == before
    assert digest(pickle.loads(pickle.dumps(first))) == before
    assert digest(cloudpickle.loads(cloudpickle.dumps(first))) == before


def test_n3_all_that_identical_compares_counts():
    """Names, dims, attributes, coordinates, dtypes, values; and the indexes."""
    base = dataset()
    tree = xr.DataTree.from_dict({"/": base, "/c": xr.Dataset({"q": 1})})
    all_different(
        [
            *[base, base.rename(a="z"), base.rename_dims(x="z"), base.assign_attrs(unit="s")],
            *[base.assign(a=("x", [1, 3])), base.assign(a=("x", [1.0, 2.0])), base.drop_vars("a")],
            *[base.assign(a=base["a"].assign_attrs(k=1)), base.reset_coords("t")],
            *[base.assign_coords(x=[1, 3]), base.drop_indexes("x"), base.stack(z=("x", "y"))],
            *[base.transpose("y", "x")["b"], base["b"], base["b"].rename("c"), base["b"].variable],
            *[base["b"].reset_coords("t", drop=True), base["x"], base["x"].variable],
            *[base.coords, base.xindexes, tree, tree["c"], tree.children["c"].to_dataset()],
        ]
    )


def test_n3_what_identical_leaves_out_does_not_count():
    """The order of variables and attributes, encodings, what is cached."""
    base = dataset()
    turned = xr.Dataset({name: base[name] for name in ["b", "a"]}, attrs=base.attrs)
    encoded = base.copy()
    encoded["a"].encoding["dtype"] = "i2"
    assert turned.identical(base)
    assert digest(turned) == digest(base) == digest(encoded)


def test_k12_lazily_opened_data_counts_by_content_and_stays_lazy(tmp_path):
    """Where it came from does not count; reading it for the key does not fill its cache."""
    paths = [tmp_path / "one.zarr", tmp_path / "two.zarr"]
    for path in paths:
        dataset().to_zarr(path)
    lazy = [xr.open_zarr(path, chunks=None) for path in paths]
    before = digest(lazy[0])
    assert before == digest(lazy[1]) == digest(lazy[0].copy().load())
    assert "a" in repr(lazy[0])
    assert not lazy[0]["b"].variable._in_memory
    zarr.open_group(paths[1])["b"][0, 0] = 5.0
    assert digest(xr.open_zarr(paths[1], chunks=None)) != before


def test_k12_labelled_dask_arrays_are_refused_with_the_path():
    """Their values are not known yet."""
    with pytest.raises(UnstableKeyError, match=r"args\[0\]\['b'\]\.data: a dask.*not computed"):
        digest(dataset(b=(("x", "y"), dask.array.ones((2, 3)))))


# -- zarr ---------------------------------------------------------------------------------------


def stored(path, chunks=(2, 2), data=GRID, **more):
    made = zarr.create_array(path, shape=data.shape, chunks=chunks, dtype=data.dtype, **more)
    made[...] = data
    return made


def test_k12_a_stored_array_counts_by_content(tmp_path):
    """Changed in place it is another argument; chunks and place do not count."""
    first, second = stored(tmp_path / "a"), stored(tmp_path / "b", chunks=(3, 5))
    before = digest(first)
    assert digest(second) == digest(pickle.loads(pickle.dumps(first))) == before
    first[3, 3] = -1.0
    assert digest(first) != before == digest(second)
    second.attrs["unit"] = "m"
    assert digest(second) != before


def test_k12_all_of_a_stored_array_counts():
    """Shape, dtype, attributes, fill value, names of dimensions, text."""
    text = zarr.create_array({}, shape=(2,), dtype=str)
    all_different(
        [
            *[stored({}), stored({}, data=GRID.T), stored({}, data=GRID.astype("f4")), GRID],
            *[stored({}, data=GRID.astype(">f8")), stored({}, attributes={"k": 1})],
            *[stored({}, fill_value=7.0), stored({}, dimension_names=("x", "y")), text],
            *[stored({}, chunks=(), data=np.array(1.0)), stored({}, chunks=(1,), data=np.zeros(0))],
        ]
    )


def test_k12_a_large_stored_array_is_read_in_pieces():
    """How it is cut does not count."""
    data = np.random.default_rng(0).integers(0, 9, (3000, 1000))
    assert digest(stored({}, (7, 1000), data)) == digest(stored({}, (3000, 11), data))


def test_k12_a_group_counts_with_all_in_it(tmp_path):
    """Members, at every depth, and attributes."""
    group = zarr.create_group(tmp_path / "g")
    seen = [digest(group)]
    stored(group.store_path / "a")
    seen.append(digest(group))
    group.create_group("inner").attrs["k"] = 1
    seen.append(digest(group))
    group["a"][0, 0] = 9.0
    seen.append(digest(group))
    assert len(set(seen)) == 4
    assert digest(pickle.loads(pickle.dumps(group))) == digest(group._async_group) == seen[-1]


def test_k12_stores_and_caches_are_refused_with_advice(tmp_path):
    """They are places where anything may change."""
    array = stored(tmp_path / "a")
    caches = [diskcache.Cache(tmp_path / "c"), diskcache.Deque(directory=tmp_path / "d")]
    for store in (array.store, array.store_path, *caches, fsspec.filesystem("memory")):
        with pytest.raises(UnstableKeyError, match=r"^args\[0\]\['s'\]: a .*(pass|memory)"):
            digest({"s": store})


# -- files --------------------------------------------------------------------------------------


def test_k12_files_of_fsspec_count_with_their_version(tmp_path):
    """Each write is another version, even one of the same size in the same moment."""
    path = tmp_path / "a.txt"
    path.write_text("abc")
    file, seen = fsspec.open(str(path), "rb"), set()
    for n in range(10):
        path.write_text(f"ab{n}")
        seen.add(digest(file))
        assert digest(pickle.loads(pickle.dumps(file))) == digest(file) in seen
    assert len(seen) == 10


def test_m9_a_file_changed_in_place_with_its_time_set_back_is_another(tmp_path):
    """By its size, alone and in a folder."""
    path = tmp_path / "a.txt"
    path.write_text("abc")
    seen, things = path.stat(), (fsspec.open(str(path)), fsspec.get_mapper(str(tmp_path)))
    before = [digest(thing) for thing in things]
    path.write_text("abcd")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert fsspec.filesystem("file").info(str(path))["mtime"] == seen.st_mtime
    assert not {digest(thing) for thing in things} & {*before}


def test_k12_how_a_file_is_opened_counts(tmp_path):
    """Path, mode, encoding, compression, position."""
    for name in "ab":
        (tmp_path / name).write_text("abc")
    paths = [str(tmp_path / name) for name in "ab"]
    with fsspec.open(paths[0], "rb") as start, fsspec.open(paths[0], "rb") as moved:
        moved.read(1)
        all_different(
            [
                *[fsspec.open(paths[0]), fsspec.open(paths[1]), fsspec.open(paths[0], "rt")],
                *[fsspec.open(paths[0], "rt", encoding="latin-1"), start, moved],
                *[fsspec.open(paths[0], compression="gzip"), fsspec.open_files(paths)],
                *[fsspec.get_mapper(str(tmp_path)), fsspec.filesystem("file")],
            ]
        )
    with pytest.raises(UnstableKeyError, match=r"args\[0\]: .*written"):
        digest(fsspec.open(paths[0], "wb"))


def test_k12_members_of_archives_and_folders_have_versions_too(tmp_path):
    """A zip file tells a checksum; a mapping of a folder is all of its files."""
    seen = set()
    for text in ("abc", "abd"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("inner", text)
        file = fsspec.open(f"zip://inner::file://{tmp_path}/a.zip")
        seen |= {digest(file), digest(fsspec.get_mapper(str(tmp_path)))}
    assert len(seen) == 4


class Silent(fsspec.AbstractFileSystem):
    protocol = "silent"

    def _info(self, path):
        return {"name": path, "size": 3, "type": "file"}

    info = _info


class Tagging(Silent):
    def info(self, path):
        return self._info(path) | {"ETag": self.storage_options["tag"]}


def test_k12_without_a_version_a_file_is_refused():
    """A size alone says nothing of the content; an etag does."""
    with pytest.raises(UnstableKeyError, match=r"^args\[0\]: .*no version"):
        digest(fsspec.core.OpenFile(Silent(), "a"))
    all_different([fsspec.core.OpenFile(Tagging(tag=tag), "a") for tag in "ab"])


def test_k12_datasets_of_files_count_with_their_versions(tmp_path):
    """Of pyarrow: whole, fragments, with and without having been read."""
    path, seen = tmp_path / "a.parquet", set()
    for n in range(5):
        pq.write_table(pa.table({"a": [n]}), path)
        data = pyarrow.dataset.dataset(tmp_path)
        before = digest(data)
        assert data.to_table().num_rows == 1
        assert digest(data) == digest(pickle.loads(pickle.dumps(data))) == before
        seen |= {before, digest(next(iter(data.get_fragments()))), digest(pq.ParquetDataset(path))}
    assert len(seen) == 15
    path.unlink()
    with pytest.raises(UnstableKeyError, match=r"^args\[0\].*no version of .*a\.parquet"):
        digest(data)


def test_k12_shared_memory_counts_by_content():
    """Its name is where the bytes are, not what they are."""
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=4)
    items = multiprocessing.shared_memory.ShareableList([1, "a"])
    try:
        before = digest(memory), digest(items)
        memory.buf[0], items[0] = 7, 7
        assert not {digest(memory), digest(items)} & {*before}
    finally:
        memory.unlink()
        items.shm.unlink()


def test_k12_objects_of_a_manager_are_refused():
    """They live in another process."""
    refused = pytest.raises(UnstableKeyError, match=r"args\[0\]: .*another process")
    with multiprocessing.Manager() as manager, refused:
        digest(manager.dict())


# -- compiled functions -------------------------------------------------------------------------


def add_one(x):
    return x + 1


def add_two(x):
    return x + 2


@numba.njit
def jitted(x):
    return x + 1


@numba.guvectorize(["f8[:], f8[:]"], "(n)->()")
def total(values, out):
    out[0] = values.sum()


@numba.stencil
def stencil(values):
    return values[0] + values[1]


def test_n4_compiled_functions_count_by_the_function_and_its_options():
    """What was compiled so far does not; copies on workers are equal."""
    functions = [
        *[numba.njit(add_one), numba.njit(add_two), numba.njit(fastmath=True)(add_one), add_one],
        *[numba.njit("f8(f8)")(add_one), numba.njit("f4(f4)")(add_one), numba.vectorize(add_one)],
        *[numba.vectorize(add_two), numba.vectorize(["f8(f8)"])(add_one), total, stencil],
        *[numba.cfunc("f8(f8)")(add_one), numba.cfunc("f8(f8)")(add_two)],
    ]
    all_different(functions)
    before = [digest(function) for function in functions]
    assert functions[0](1.0) == functions[6](1.0) == 2.0
    assert [digest(function) for function in functions] == before
    for function in functions[:9]:
        copy = cloudpickle.loads(cloudpickle.dumps(function))
        assert digest(copy) == digest(function)
    assert digest(numba.njit(add_one)) == before[0]


CHILD = "import {name} as m; from persidict_dask import digest; print(digest(m.jitted, m.total))"


def test_n4_compiled_functions_are_the_same_in_every_process(tmp_path):
    """numba gives each of them a number of its own, which does not count."""
    source = (
        "import numba\n{noise}\n@numba.njit\ndef jitted(x):\n    return x + 1\n"
        "@numba.guvectorize(['f8[:], f8[:]'], '(n)->()')\n"
        "def total(values, out):\n    out[0] = values.sum()\n"
    )
    seen = set()
    for noise in ("", "numba.njit(lambda x: x); numba.types.Tuple([numba.f4] * 3)"):
        (tmp_path / "compiled.py").write_text(source.format(noise=noise))
        path = os.pathsep.join([str(tmp_path), *sys.path])
        command = [sys.executable, "-c", CHILD.format(name="compiled")]
        environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": str(len(noise))}
        child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        seen.add(child.stdout)
    assert len(seen) == 1


def test_typed_containers_of_numba_count_by_content():
    """The type of their items as well; an untyped one is empty."""
    first, second = numba.typed.List([1, 2]), numba.typed.List([1, 2])
    pairs = numba.typed.Dict()
    pairs["a"] = 1
    all_different([first, numba.typed.List([1.0, 2.0]), numba.typed.List(), pairs, [1, 2]])
    assert digest(first) == digest(second)
    all_different([numba.f8, numba.f4, numba.f8[:], numba.f8[::1], numba.f8(numba.f8)])


# -- the standard library, scipy, pandas --------------------------------------------------------


def test_x4_views_of_dictionaries():
    """Keys and items as sets; values in their order, for nothing else tells them apart."""
    first, second = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert digest(first.keys()) == digest(second.keys())
    assert digest(first.items()) == digest(second.items())
    assert digest(first.values()) != digest(second.values())
    ordered = [collections.OrderedDict(pairs) for pairs in (first, second)]
    views = [view for pairs in ordered for view in (pairs.keys(), pairs.items(), pairs.values())]
    all_different([first, list(first), first.keys(), first.items(), first.values(), *views])


def test_x4_matches_and_layouts():
    """A match is its pattern, its text, the bounds of the search and what was found."""
    search = re.compile("(a)|(b)").search
    all_different(
        [
            *[
                search("ab"),
                search("ba"),
                search("ab", 1),
                search("ab", 0, 1),
                re.search("a", "ab"),
            ],
            *[struct.Struct("<i"), struct.Struct(">i"), struct.Struct("<2i"), "<i"],
        ]
    )
    assert digest(search("ab")) == digest(search("ab"))
    assert digest(struct.Struct("<i")) == digest(struct.Struct("<i"))


def test_x4_streams_in_memory_are_content_and_position():
    """Whether anything has looked at their attributes does not count."""
    for make in (lambda: io.BytesIO(b"abc"), lambda: io.StringIO("abc")):
        read, looked = make(), make()
        read.read(1)
        assert vars(looked) == {}
        assert digest(looked) == digest(make()) != digest(read)
    all_different(
        [io.StringIO("a\r\n"), io.StringIO("a\n"), io.StringIO("a\n", None), io.BytesIO()]
    )


@dataclasses.dataclass
class Guarded:
    x: object
    lock: object = dataclasses.field(default_factory=threading.Lock)

    def __getstate__(self):
        return {"x": self.x}


@dataclasses.dataclass
class Remade:
    x: object
    lock: object = dataclasses.field(default_factory=threading.Lock)

    def __reduce__(self):
        return Remade, (self.x,)


@dataclasses.dataclass
class Derived(Guarded):
    y: int = 1


@dataclasses.dataclass
class Members(set):
    x: int = 1


@pytest.mark.parametrize("cls", [Guarded, Remade, Derived])
def test_x4_a_dataclass_that_says_how_it_is_pickled_goes_by_it(cls):
    """`__getstate__` that drops a lock, `__reduce__`, and either from a base."""
    assert digest(cls(1)) == digest(cls(1)) != digest(cls(2))


def test_a_dataclass_has_what_its_built_in_base_holds():
    """Members of a set as well as pairs of a dict."""
    found = [Members(), Members()]
    found[0].update("abc")
    all_different(found)


def test_objects_that_keep_what_they_worked_out_stay_what_they_are():
    """Groups of pandas, limits of numpy, trees of scipy."""
    groups = pd.DataFrame({"a": [1, 1, 2], "b": [1, 2, 3]}).groupby("a")
    before = digest(groups)
    assert len(groups.indices) == 2
    assert digest(groups) == before
    limits = np.finfo("f8")
    assert "float64" in repr(limits)
    assert digest(limits) == digest(np.finfo("f8")) != digest(np.finfo("f4"))
    trees = [functools.partial(scipy.spatial.KDTree, leafsize=size) for size in (3, 4)]
    all_different([trees[0](GRID), trees[1](GRID), trees[0](GRID * 2)])
    assert digest(trees[0](GRID)) == digest(pickle.loads(pickle.dumps(trees[0](GRID))))


# -- torch --------------------------------------------------------------------------------------


def test_tensors_count_by_content_and_modules_by_all_they_hold():
    """Dtype, shape, gradient, values; training, hooks, parameters; not strides."""
    torch = pytest.importorskip("torch")
    grid = torch.arange(6.0).reshape(2, 3)
    all_different(
        [
            *[grid, grid.T, grid.double(), grid.bfloat16(), grid + 1, grid.numpy()],
            *[grid.clone().requires_grad_(), torch.nn.Parameter(grid), grid.to_sparse()],
        ]
    )
    assert digest(grid.T) == digest(grid.T.contiguous())
    assert digest(torch.tensor([float("nan")])) == digest(-torch.tensor([float("nan")]))
    layers = [torch.nn.Dropout(0.1), torch.nn.Dropout(0.2), torch.nn.Dropout(0.1).eval()]
    linear = torch.nn.Linear(2, 2)
    all_different([*layers, linear])
    before = digest(linear)
    assert digest(pickle.loads(pickle.dumps(linear))) == before
    linear.register_forward_hook(print)
    assert digest(linear) != before
