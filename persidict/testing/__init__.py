"""Conformance suites for dictionaries, blob stores and codecs, for use in tests with pytest."""

from persidict.testing import _needed as _needed  # isort: split

from persidict.testing._blob_store import BlobStoreSuite
from persidict.testing._codec import CodecSuite
from persidict.testing._conditional import ConditionalArguments, ConditionalTable
from persidict.testing._dicts import (
    AppendOnlyCachedDictSuite,
    AppendOnlyDictSuite,
    DictSuite,
    WriteOnceDictSuite,
)
from persidict.testing._fixtures import DictFixtures, InSubdict, Lacks, Suite, needs
from persidict.testing._interleaved import Interleaved
from persidict.testing._interleaving import InterleavingSuite
from persidict.testing._keys import Keys
from persidict.testing._mutable import Overwriting, Removing, Types
from persidict.testing._oracle import (
    APPEND_ONLY,
    APPEND_ONLY_CACHED,
    KEEPS_NOTHING,
    MUTABLE,
    NEW_ETAG,
    WRITE_ONCE,
    Call,
    Outcome,
    Policy,
    Version,
    oracle,
)
from persidict.testing._reading import Inserting, Objects, Reading
from persidict.testing._subdicts import Subdicts

__all__ = [
    "APPEND_ONLY",
    "APPEND_ONLY_CACHED",
    "KEEPS_NOTHING",
    "MUTABLE",
    "NEW_ETAG",
    "WRITE_ONCE",
    "AppendOnlyCachedDictSuite",
    "AppendOnlyDictSuite",
    "BlobStoreSuite",
    "Call",
    "CodecSuite",
    "ConditionalArguments",
    "ConditionalTable",
    "DictFixtures",
    "DictSuite",
    "InSubdict",
    "Inserting",
    "Interleaved",
    "InterleavingSuite",
    "Keys",
    "Lacks",
    "Objects",
    "Outcome",
    "Overwriting",
    "Policy",
    "Reading",
    "Removing",
    "Subdicts",
    "Suite",
    "Types",
    "Version",
    "WriteOnceDictSuite",
    "needs",
    "oracle",
]
