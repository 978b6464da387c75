"""What the page about buckets says in tables and in JSON is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from .test_rights import ALL, FAILS

PAGE = (Path(__file__).parents[2] / "docs" / "s3.md").read_text(encoding="utf-8")


def test_the_table_of_rights() -> None:
    """It says what `test_rights` has tried."""
    head, _, *rows = re.findall(r"^\|.*\|$", PAGE.partition("## Rights")[2], re.MULTILINE)
    head, *rows = ([cell.strip() for cell in row.strip("|").split("|")] for row in (head, *rows))
    table = {row[0].replace("`", ""): row[1:] for row in rows[: len(ALL)]}
    assert list(table) == list(ALL)
    rights = [cell.removeprefix("without ").strip("`") for cell in head[1:]]
    assert {*rights, "HeadBucket"} == set(FAILS)
    for column, right in enumerate(rights):
        assert {act for act in ALL if table[act][column] == "fails"} == FAILS[right]


@pytest.fixture
def rules() -> dict[str, Any]:
    (found,) = [
        text for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) if "Rules" in text
    ]
    return json.loads(found)  # type: ignore[no-any-return]


@pytest.mark.parametrize("server", ["moto", "ministack", "seaweedfs"])
def test_the_rules_for_old_versions(
    request: pytest.FixtureRequest, rules: dict[str, Any], server: str
) -> None:
    """Servers take them, and have them afterwards."""
    if server == "moto":
        with mock_aws():
            import boto3

            check(boto3.client("s3"), rules)
    else:
        client = request.getfixturevalue(server).client()
        check(client, rules)
        client.close()


def check(client: Any, rules: dict[str, Any]) -> None:
    client.create_bucket(Bucket="with-rules")
    client.put_bucket_lifecycle_configuration(Bucket="with-rules", LifecycleConfiguration=rules)
    found = client.get_bucket_lifecycle_configuration(Bucket="with-rules")["Rules"]
    assert {rule["ID"] for rule in found} == {"abandoned-uploads", "old-versions"}


def test_the_policy_is_for_the_rights_of_the_table() -> None:
    texts = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (policy,) = [json.loads(text) for text in texts if "Statement" in text]
    allowed: set[str] = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    assert allowed == {*FAILS, "s3:AbortMultipartUpload"} - {"HeadBucket"}
