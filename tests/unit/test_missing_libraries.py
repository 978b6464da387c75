"""A library that is missing is an error that names the extra which brings it."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""
FORGET = "import sys\nfor name in {names}: sys.modules[name] = None\n"
TRY = """
try:
    {code}
except ImportError as error:
    print(type(error).__name__, error)
else:
    print("fine")
"""


def libraries(extra):
    return [re.split(r"[<>=\[; ]", need)[0] for need in EXTRAS[extra]]


DASK = "import persidict_dask"
BUCKET = "from persidict import {cls}; {cls}(bucket_name='b')"
NEEDS = [
    *(([name], DASK, "dask") for name in libraries("dask")),
    (libraries("dask"), "from persidict_dask.coordination import Lease", "dask"),
    (["boto3", "botocore"], BUCKET.format(cls="BasicS3Dict"), "aws"),
    (["boto3"], BUCKET.format(cls="S3Dict"), "aws"),
    (["botocore"], BUCKET.format(cls="BasicS3Dict"), "aws"),
    (["boto3"], "import persidict_dask; persidict_dask.open_store('s3://b/x')", "aws"),
    (["pytest"], "import persidict.testing", "testing"),
    (["hypothesis"], "import persidict.testing.stateful", "testing"),
]


@pytest.mark.parametrize(("names", "code", "extra"), NEEDS, ids=lambda v: str(v)[:40])
def test_the_error_names_library_and_extra(python, names, code, extra):
    hide = HIDE if len(names) == 1 else FORGET
    printed = python(hide.format(names=set(names)) + TRY.format(code=code))
    assert printed.startswith("ModuleNotFoundError ")
    assert f"pip install 'persidict[{extra}]'" in printed
    assert names[0] in printed


@pytest.mark.parametrize("extra", ["aws", "dask", "testing"])
def test_the_extras_that_errors_name_bring_what_is_missing(extra):
    needed = {name for names, _, named in NEEDS if named == extra for name in names}
    assert needed - {"botocore"} <= set(libraries(extra))  # boto3 brings it


HELPERS = ["rich", "bokeh", "prometheus_client", "pandas", "pyarrow", "boto3", "obstore"]
OPTIONAL = ["boto3", "botocore", "obstore", "rich", "numpy", "pandas", "xxhash", "dask", "pytest"]


@pytest.mark.parametrize("hide", [HIDE, FORGET], ids=["finder", "modules"])
def test_what_needs_no_extra_works_without_any(python, hide):
    code = "from persidict import FileDirDict; d = FileDirDict('d', serialization_format='json')\n"
    code += "d['a'] = [1]; import persidict; assert d['a'] == [1]; print('fine')"
    assert python(hide.format(names=set(OPTIONAL)) + code) == "fine"


def test_memoized_functions_do_without_what_only_helps(python):
    code = """
from persidict_dask import persist
@persist("cache", version="1")
def f(x): return x + 1
assert f(1) == f(1) == 2
print(f.forget_all())
"""
    assert python(HIDE.format(names=set(HELPERS)) + code) == "1"
