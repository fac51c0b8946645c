"""What commands need of the disk without a daemon: the configuration and model weights."""

import os
from collections.abc import Callable
from pathlib import Path

from wardwright.app.sinks import check_libraries
from wardwright.config.load import Loaded, find_config, load_config
from wardwright.config.settings import LlamaCppSettings, Settings
from wardwright.domain.errors import WardwrightError
from wardwright.providers.weights import WeightsError, find_weights, known_weights, pull


class PullFailed(WardwrightError):
    """Model weights could not be fetched."""

    code = "pull_failed"


def load(config: Path | None = None) -> Loaded:
    """The configuration the daemon would start with: the file that is found, or the embedded default.

    Raises: ConfigError with every problem.
    """
    found = find_config(config, os.environ, Path.cwd())
    loaded = load_config(found, os.environ, weights_available=True)
    check_libraries(loaded)
    if found is None and weights_needed(loaded.settings):
        return load_config(None, os.environ, weights_available=False)
    return loaded


def data_dir(settings: Settings) -> Path:
    """The folder for everything the daemon keeps."""
    return Path(settings.storage.path)


def weights_needed(settings: Settings, folder: Path | None = None) -> list[str]:
    """Names of the weights the configuration needs and that are not in the data folder."""
    where = folder or data_dir(settings)
    named = [provider.weights for provider in settings.providers if isinstance(provider, LlamaCppSettings)]
    return sorted({name for name in named if name is not None and find_weights(name, where) is None})


def weights_known() -> list[str]:
    """The names of all weights that can be pulled."""
    return known_weights()


def weights_found(name: str, folder: Path) -> Path | None:
    """Where weights of that name lie in a data folder; None when they are not there."""
    return find_weights(name, folder)


def pull_weights(name: str, folder: Path, on_progress: Callable[[int, int], None]) -> Path:
    """Fetch weights into the data folder; `on_progress(bytes so far, total)`. Raises: PullFailed."""
    try:
        return pull(name, folder, on_progress)
    except WeightsError as error:
        raise PullFailed(str(error)) from error
