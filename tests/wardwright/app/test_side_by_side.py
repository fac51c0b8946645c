"""Parts done in processes of their own: in order, with what goes wrong in its turn, and nobody left behind."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from wardwright.app.side_by_side import side_by_side
from wardwright.domain.errors import InternalError, StorageUnavailable


@contextmanager
def working(offset: int) -> Iterator[Callable[[int], tuple[int, int]]]:
    def work(part: int) -> tuple[int, int]:
        match part:
            case 13:
                raise StorageUnavailable("part 13 is damaged")
            case 99:
                os._exit(3)
            case _:
                os.kill(os.getpid(), signal.SIGINT)  # as a terminal sends it to everybody in front of it
                return part + offset, os.getpid()

    yield work


def never_ready() -> AbstractContextManager[Callable[[int], int]]:
    raise StorageUnavailable("there is nothing to read")


def test_what_parts_come_to_is_given_in_order_and_what_goes_wrong_in_its_turn() -> None:
    with closing(side_by_side(partial(working, 100), range(20), 2)) as answers:
        given = [next(answers) for _ in range(13)]
        with pytest.raises(StorageUnavailable, match="part 13"):
            next(answers)
    assert [number for number, _ in given] == [*range(100, 113)]
    assert os.getpid() not in {process for _, process in given}
    assert multiprocessing.active_children() == []


@contextmanager
def leaving_marks(folder: Path) -> Iterator[Callable[[int], int]]:
    def work(part: int) -> int:
        (folder / str(part)).touch()
        return part

    yield work


def test_processes_go_on_while_nobody_takes_what_they_have_done(tmp_path: Path) -> None:
    with closing(side_by_side(partial(leaving_marks, tmp_path), iter(range(1000)), 2)) as answers:
        assert next(answers) == 0
        wait_until(lambda: len(list(tmp_path.iterdir())) >= 4, "two parts for each process")
        assert len(list(tmp_path.iterdir())) <= 6, "more than may be ahead"


def test_processes_end_when_no_more_answers_are_wanted() -> None:
    answers = side_by_side(partial(working, 0), iter(range(10_000_000)), 2)
    assert next(answers)[0] == 0
    assert len(multiprocessing.active_children()) == 2
    answers.close()
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_noticed() -> None:
    with pytest.raises(InternalError, match="without doing it"):
        list(side_by_side(partial(working, 0), [99], 1))


def test_where_nothing_can_be_made_ready_nothing_is_done() -> None:
    with pytest.raises(StorageUnavailable, match="nothing to read"):
        list(side_by_side(never_ready, [1], 1))
