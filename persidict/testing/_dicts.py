"""The suites for dictionaries: one for each policy, put together from their parts."""

from __future__ import annotations

from typing import ClassVar

from persidict.testing._append_only import (
    AppendOnly,
    AppendOnlyTransforming,
    CachedTransforming,
    WriteOnce,
)
from persidict.testing._conditional import ConditionalArguments, ConditionalTable
from persidict.testing._keys import Keys
from persidict.testing._mutable import Overwriting, Removing, Times, Types
from persidict.testing._oracle import APPEND_ONLY, APPEND_ONLY_CACHED, WRITE_ONCE, Policy
from persidict.testing._reading import Inserting, Objects, Reading
from persidict.testing._subdicts import MutableSubdicts, Subdicts
from persidict.testing._transform import Transforming


class AnyPolicySuite(
    Keys, Reading, Inserting, Objects, Types, Subdicts, ConditionalArguments, ConditionalTable
):
    """What every dictionary that keeps something promises."""


class DictSuite(AnyPolicySuite, Overwriting, Removing, Times, MutableSubdicts, Transforming):
    """What a dictionary promises in which items may change and go."""


class AppendOnlyDictSuite(AnyPolicySuite, AppendOnly, AppendOnlyTransforming):
    """What an append-only dictionary promises; `open` returns one by default."""

    policy: ClassVar[Policy] = APPEND_ONLY


class AppendOnlyCachedDictSuite(AnyPolicySuite, AppendOnly, CachedTransforming):
    """What an append-only dictionary promises that has a cache in front."""

    policy: ClassVar[Policy] = APPEND_ONLY_CACHED


class WriteOnceDictSuite(AnyPolicySuite, WriteOnce):
    """What a write-once dictionary promises; `open` returns one by default."""

    policy: ClassVar[Policy] = WRITE_ONCE
