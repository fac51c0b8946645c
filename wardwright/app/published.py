"""What a configuration has to do with what was published before, read off the data folder, beside a daemon or without one."""

from wardwright.app.storage import storage_of
from wardwright.config.load import Loaded
from wardwright.config.problems import Problem
from wardwright.domain.control_state import fold_control
from wardwright.runtime.catalog_file import files_word


def contradictions(loaded: Loaded) -> tuple[Problem, ...]:
    """Everything that keeps a daemon from following a configuration because of what its data folder knows.

    Raises: StorageUnavailable when the folder cannot be read.
    """
    return files_word(loaded, fold_control(storage_of(loaded.settings).read_control())).problems
