"""The library of the suites, asked for before anything else is imported."""

from persidict.extras import require

require("persidict.testing", "pytest", extra="testing")
