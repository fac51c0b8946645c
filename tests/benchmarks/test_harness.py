"""The harness itself: that it counts right, and that it does not take a wrong answer for a right one."""

import json
import os
import time

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.accounting import cpu_s, tree_of
from tests.benchmarks.answer_reader import AnswerReader, BadAnswer
from tests.benchmarks.answers import completion, stream_writes
from tests.benchmarks.load import LoadPlan, LoadRun, Percentiles
from tests.benchmarks.measure import measure
from tests.benchmarks.phases import DEFAULT_PHASES, PHASES
from tests.benchmarks.processes import run_server
from tests.benchmarks.systems import run_upstream

STREAM = b"".join(stream_writes("mock-n5", include_usage=False))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def read(answer: bytes, *, piece: int) -> AnswerReader:
    reader = AnswerReader()
    complete = [reader.feed(answer[at : at + piece]) for at in range(0, len(answer), piece)]
    assert complete == [False] * (len(complete) - 1) + [True]
    return reader


def test_a_stream_has_as_many_chunks_as_its_model_says() -> None:
    events = [event.removeprefix("data: ") for event in STREAM.decode().split("\n\n")]
    *chunks, done, rest = events
    assert (done, rest) == ("[DONE]", "")
    choices = [json.loads(each)["choices"][0] for each in chunks]
    assert len(choices) == 5
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["finish_reason"] for choice in choices] == [None] * 4 + ["stop"]


def test_usage_comes_in_one_more_chunk_when_it_is_asked_for() -> None:
    *_, last, _done, _rest = b"".join(stream_writes("mock-n5", include_usage=True)).split(b"\n\n")
    chunk_with_usage = json.loads(last.removeprefix(b"data: "))
    assert chunk_with_usage["choices"] == []
    assert chunk_with_usage["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("piece", [1, 7, 100, 10_000])
@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_the_reader_counts_events_whatever_the_chunks_and_reads(piece: int, size: int) -> None:
    chunks = b"".join(chunk(STREAM[at : at + size]) for at in range(0, len(STREAM), size))
    reader = read(CHUNKED + chunks + chunk(b""), piece=piece)
    assert reader.events == 5
    assert reader.problem(expected_events=5) is None
    assert reader.problem(expected_events=6) == "5 events instead of 6"


@pytest.mark.parametrize("piece", [1, 10_000])
def test_the_reader_reads_an_answer_of_known_length(piece: int) -> None:
    body = completion("mock")
    reader = read(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body), piece=piece)
    assert reader.problem(expected_events=None) is None


def test_a_stream_without_done_is_a_problem() -> None:
    reader = read(CHUNKED + chunk(STREAM.removesuffix(b"data: [DONE]\n\n")) + chunk(b""), piece=100)
    assert "without [DONE]" in (reader.problem(expected_events=5) or "")


def test_an_error_status_is_a_problem_with_its_text() -> None:
    reader = read(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy", piece=100)
    assert reader.problem(expected_events=None) == "status 503: busy"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        CHUNKED + chunk(b"") + b"more",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        AnswerReader().feed(answer)


def test_percentiles_are_in_milliseconds_and_exist_for_any_number_of_samples() -> None:
    assert Percentiles.of_seconds([]) == Percentiles(0.0, 0.0)
    assert Percentiles.of_seconds([0.5]) == Percentiles(500.0, 500.0)
    assert Percentiles.of_seconds([number / 1000 for number in range(101)]) == Percentiles(50.0, 99.0)


def test_the_cpu_clock_of_a_process_counts_what_it_used() -> None:
    before, began = cpu_s([os.getpid()]), time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert cpu_s([os.getpid()]) - before == pytest.approx(time.process_time() - began, abs=0.01)


def test_pauses_differ_and_are_the_same_in_every_run() -> None:
    plan = LoadPlan("http://127.0.0.1:1/", "", 1, 0.1, 0.1, pause_s=0.01)
    one, other = ([run.pause_s() for _ in range(20)] for run in (LoadRun(plan), LoadRun(plan)))
    assert one == other
    assert len(set(one)) == 20
    assert all(0 <= pause <= 0.01 for pause in one)


def test_the_default_phases_exist() -> None:
    assert set(DEFAULT_PHASES) <= set(PHASES)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["u16", "sb16", "sp16", "d2", "d16"])
def test_a_measurement_of_the_upstream_is_sound(phase: str) -> None:
    with run_upstream() as upstream:
        found = measure(upstream, PHASES[phase].plan(upstream.url, 0.3), [upstream.pid])
    assert found.bad == 0
    assert found.answers_per_s > 0
    assert found.cpu_us_per_answer > 0
    assert (found.cpu_us_per_event is not None) == PHASES[phase].stream
    # The loop's timers count whole milliseconds, and may be early by one.
    assert found.latency.p50 > {"d2": 5 - 1, "d16": 50 - 1}.get(phase, 0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("phase", ["u1", "sb16"])
def test_the_floor_gives_the_same_answers(phase: str, backend: str) -> None:
    with run_server("tests.benchmarks.bare", backend) as floor:
        found = measure(floor, PHASES[phase].plan(floor.url, 0.3), [floor.pid])
        assert floor.pid in tree_of(os.getpid())
    assert found.bad == 0
    assert found.answers_per_s > 0


@pytest.mark.slow
def test_a_wrong_answer_is_counted_and_named() -> None:
    with run_upstream() as upstream:
        plan = LoadPlan(f"{upstream.url}/v1/chat/completions", '{"model":"other"}', 2, 0.1, 0.1)
        found = measure(upstream, plan, [upstream.pid])
    assert found.bad > 0
    assert found.answers_per_s == 0
    assert found.first_problem is not None
    assert "no model of the benchmark" in found.first_problem


def test_the_command_knows_its_phases() -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
