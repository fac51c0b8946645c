"""`python -m tests.chaos.short_days ARGUMENTS`: the command line, in a world where everything is small and soon.

Segments have 64 KiB, the index follows the log closely, a day has ten seconds, and what is due every hour is due every half second: what
takes a daemon days happens between two kills. Daemons that share a database look at each other as often, and wait ten seconds for one that
was there before the server was started again.
"""

from functools import partial

from wardwright.app import daemon, storage
from wardwright.cli.main import main
from wardwright.runtime import checkpointer, retention
from wardwright.storage import postgres_writers
from wardwright.storage.folder import FileStorage

_SEGMENT_BYTES = 64 * 1024
DAY_S = 10.0
_HOUR_S = 0.5
_TAIL_ENTRIES = 100
_NEIGHBOURS_INTERVAL_S = 0.5
_GRACE_S = 10.0

if __name__ == "__main__":
    storage._IN_FOLDERS = {
        **storage._IN_FOLDERS,
        "file": partial(FileStorage, segment_bytes=_SEGMENT_BYTES, tail_entries=_TAIL_ENTRIES),
    }
    daemon._DAY_S = DAY_S
    retention._INTERVAL_S = _HOUR_S
    checkpointer._TENDED_EVERY = _TAIL_ENTRIES
    checkpointer._NEIGHBOURS_INTERVAL_S = _NEIGHBOURS_INTERVAL_S
    postgres_writers._GRACE_S = _GRACE_S
    main()
