"""The S3 classes can be imported without boto3; making one says what is missing."""

import pytest

from persidict import BasicS3Dict, PersiDict, S3Dict

BLOCK = """
import sys
sys.modules["boto3"] = sys.modules["botocore"] = None
from persidict import BasicS3Dict, S3Dict, S3Dict_FileDirCached
for cls in (BasicS3Dict, S3Dict):
    try:
        cls(bucket_name="b")
    except ImportError as error:
        print(error)
"""


def test_without_boto3_the_error_names_the_extra(python):
    lines = python(BLOCK).splitlines()
    assert len(lines) == 2
    assert all("persidict[aws]" in line for line in lines)


@pytest.mark.parametrize("cls", [BasicS3Dict, S3Dict])
def test_the_classes_are_dicts(cls):
    assert issubclass(cls, PersiDict)
