"""One folder, given as the cache of several places: each place sees its own items only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from persidict import FileDirDict, S3Dict
from persidict._cache_place import folder_for

from .conftest import Place, place_on
from .proxy import FaultProxy


@pytest.fixture
def real(ministack: Any, clients: dict[str, Any], tmp_path: Path) -> Place:
    return place_on(ministack, clients, tmp_path)


@pytest.fixture
def other_server(real: Place) -> Iterator[FaultProxy]:
    with FaultProxy(str(real.url)) as proxy:
        yield proxy


def places(real: Place, other: FaultProxy) -> list[dict[str, Any]]:
    """Two prefixes, another bucket, and another server."""
    here: dict[str, Any] = {"bucket_name": real.bucket, "client": real.client}
    there = {"bucket_name": real.bucket, "endpoint_url": other.url}
    return [
        place | {"root_prefix": real.prefix + name}
        for place, name in ((here, "a"), (here, "b"), (here | {"bucket_name": "another"}, "a"),
                            (there, "there"))
    ]  # fmt: skip


@pytest.mark.parametrize("options", [{"append_only": True}, {}, {"serialization_format": "json"}])
@pytest.mark.parametrize("folder", ["default", "given", "in a folder that cannot be changed"])
def test_places_that_share_a_folder(
    real: Place,
    other_server: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    folder: str,
) -> None:
    monkeypatch.chdir(real.path)
    where: dict[str, Any] = {} if folder == "default" else {"base_dir": real.path / "near"}
    if folder.startswith("in"):
        (real.path / "near@place").mkdir()  # so that nothing can be noted beside it
    dicts: list[S3Dict[Any]] = [
        S3Dict(**place, **options, **where) for place in places(real, other_server)
    ]
    for number, d in enumerate(dicts):
        assert ("k" in d, d.get("k"), d.get_subdict("s").get("t")) == (False, None, None)
        with pytest.raises(KeyError):
            d.etag("k")
        d["k"] = number
        d["s", "t"] = -number
    # as another process would open them, in another order
    for number, place in reversed(list(enumerate(places(real, other_server)))):
        d = S3Dict(**place, **options, **where)
        assert d["k"] == number
        assert {key.strings: value for key, value in d.items()} == {
            ("k",): number, ("s", "t"): -number
        }  # fmt: skip
        assert d.base_dir == dicts[number].base_dir
        assert S3Dict(**d.get_params()).base_dir == d.base_dir
    assert len({d.base_dir for d in dicts}) == len(dicts)


def test_another_way_to_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tmp_path / "near")
    assert folder_for(str(tmp_path / "near"), "one") == str(tmp_path / "near")
    assert folder_for(str(tmp_path / "way"), "one") == str(tmp_path / "way")
    own = folder_for(str(tmp_path / "way"), "other")
    assert own == folder_for(str(tmp_path / "near"), "other") != str(tmp_path / "near")


def test_a_note_in_the_folder_counts_for_who_could_write_one_beside_it(tmp_path: Path) -> None:
    """The first to open it had no right to the folder above, another has."""
    near = str(tmp_path / "near")
    (tmp_path / "near@place").mkdir()
    assert folder_for(near, "one") == near
    (tmp_path / "near@place").rmdir()
    assert folder_for(near, "other") != near
    assert folder_for(near, "one") == near


def test_a_folder_that_was_filled_before_is_kept(real: Place) -> None:
    """It belongs to the first that opens it; nothing in it is read anew."""
    old: FileDirDict[Any] = FileDirDict(base_dir=real.path / "old", digest_len=8, append_only=True)
    old["k"] = "cached"
    d = real.cached("old", append_only=True)
    assert d["k"] == "cached"
    assert d.base_dir == str(real.path / "old")
    assert os.listdir(d.base_dir) == ["k_rtslc2zc.pkl"]


def test_what_is_beside_each_other_is_cleared_alone(real: Place) -> None:
    prefix = real.prefix
    real.prefix = f"{prefix}one/"
    one = real.cached()
    real.prefix = f"{prefix}other/"
    other = real.cached()
    one["k"], other["k"] = 1, 2
    one.clear()
    assert other["k"] == 2
    assert list(Path(other.base_dir).glob("k_*.pkl"))
    assert not list(Path(one.base_dir).glob("k_*"))


def test_places_that_come_at_once(tmp_path: Path) -> None:
    """One of them gets the folder, the others folders of their own, and so it stays."""
    base, count = str(tmp_path / "near"), 8
    together = threading.Barrier(count, timeout=30)

    def open_it(number: int) -> str:
        together.wait()
        return folder_for(base, f"s3://bucket/{number}/")

    with ThreadPoolExecutor(count) as threads:
        found = list(threads.map(open_it, range(count)))
    assert found.count(base) == 1
    assert len(set(found)) == count
    assert found == [folder_for(base, f"s3://bucket/{number}/") for number in range(count)]
