"""Model weights for tests: pulled once into a cache folder, as a user would pull them."""

import os
from pathlib import Path

from wardwright.app.files import pull_weights, weights_found


def shared_weights() -> Path:
    """The small model's file, fetched by the first test that needs it."""
    folder = Path(os.environ.get("WARDWRIGHT_TEST_CACHE") or Path.home() / ".cache" / "wardwright-tests")
    return weights_found("smollm2", folder) or pull_weights("smollm2", folder, lambda _done, _total: None)
