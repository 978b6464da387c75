"""Everything optional may be missing: folders and plain values work all the same."""

BLOCK = """
import sys
class Block:
    names = {"numpy", "pandas", "boto3", "botocore", "dask", "distributed", "xxhash", "yaml"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import persidict
from persidict import *
"""
USE = """
values = {"a": {"x": [1, (2.5, None)]}, "b": "text"}
for kwargs in (
    {}, {"serialization_format": "json"}, {"compression": None}, {"compression": "xz"},
    {"serialization_format": "txt", "base_class_for_values": str},
):
    d = FileDirDict(base_dir=str(len(str(kwargs))), **kwargs)
    for key, value in values.items():
        d[key] = str(value) if "base_class_for_values" in kwargs else value
    d.transform_item("b", transformer=lambda v: v + "!")
    assert d["b"] == "text!" and len(d) == 2 and sorted(k[0] for k in d) == ["a", "b"]
    assert d.pop("a") in (values["a"], str(values["a"]))
"""


def test_a_folder_keeps_plain_values_without_any_optional_library(python):
    assert python(BLOCK + USE + "print('fine')") == "fine"


def test_write_once_dicts_compare_without_numpy(python):
    code = """
d = WriteOnceDict(wrapped_dict=LocalDict(append_only=True), p_consistency_checks=1)
d["a"] = {"x": 1, "y": {1, 2}}
d["a"] = {"y": {2, 1}, "x": 1}
print(d.consistency_checks_passed)
"""
    assert python(BLOCK + code) == "1"


def test_an_array_without_numpy_is_damage_and_not_absence(python):
    python("""
import numpy
from persidict import FileDirDict
d = FileDirDict(base_dir="d"); d["a"] = numpy.arange(3); d["b"] = 1
""")
    code = """
d = FileDirDict(base_dir="d")
try:
    d["a"]
except BackendError as error:
    print("numpy" in str(error), d["b"], len(d))
"""
    assert python(BLOCK + code) == "True 1 2"


LOADED = """
import sys
from persidict import FileDirDict, LocalDict
for kwargs in ({}, {"serialization_format": "json"}):
    d = FileDirDict(base_dir="d", **kwargs)
    d["a"] = {"x": [1, 2]}
    assert d["a"] == {"x": [1, 2]}
print([name for name in ("numpy", "pandas", "boto3", "dask") if name in sys.modules])
"""


def test_plain_values_load_no_heavy_library(python):
    assert python(LOADED) == "[]"
