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


@pytest.mark.parametrize("cls", [BasicS3Dict, S3Dict])
def test_a_url_is_no_bucket_and_the_error_says_where_it_goes(cls, tmp_path, monkeypatch):
    pytest.importorskip("boto3")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'s3://b/x'.*root_prefix.*open_store") as caught:
        cls(bucket_name="s3://b/x", region="us-east-1")
    assert "regex" not in str(caught.value)


def test_another_argument_that_boto3_refuses_is_not_called_a_bucket():
    pytest.importorskip("boto3")
    with pytest.raises(ValueError, match="ExpectedBucketOwner") as caught:
        BasicS3Dict(bucket_name="b", region="us-east-1", put_args={"ExpectedBucketOwner": 3})
    assert "bucket_name" not in str(caught.value)
