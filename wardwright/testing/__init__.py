"""Contract suites for authors of adapters, to be run by pytest. Needs pytest and hypothesis: `pip install wardwright[testing]`."""

import pytest

pytest.register_assert_rewrite(
    "wardwright.testing.storage_suite", "wardwright.testing.storage_machine", "wardwright.testing.sink_suite"
)
