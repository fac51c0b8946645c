"""Frames: only what was written whole is read back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.storage.frame import (
    MAX_PAYLOAD,
    Read,
    decode_frame,
    delimited_payload,
    encode_frame,
    has_frame,
    payloads_at,
    read_frame,
    scan,
    was_synced,
    whole_payload,
)

PAYLOADS = st.binary(min_size=1, max_size=300)


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[Read]:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield lambda count, offset: os.pread(fd, count, offset)
    finally:
        os.close(fd)


@given(PAYLOADS, st.integers(0, 2**32 - 1), st.binary(max_size=20), st.binary(max_size=20))
def test_a_frame_gives_back_what_was_framed_wherever_it_stands(
    payload: bytes, synced: int, before: bytes, after: bytes
) -> None:
    encoded = encode_frame(payload, synced)
    frame = decode_frame(before + encoded + after, len(before))
    assert frame is not None
    assert (frame.payload, frame.synced) == (payload, synced)
    assert (frame.offset, frame.end) == (len(before), len(before) + len(encoded))


def test_a_frame_is_a_line_of_text() -> None:
    assert encode_frame(b'{"seq":1}', 255) == b'ww1 00000009 000000ff 4288a860 {"seq":1}\n'


@given(PAYLOADS, st.integers(0, 2**32 - 1), st.data())
def test_no_frame_with_a_flipped_bit_is_whole(payload: bytes, synced: int, data: st.DataObject) -> None:
    encoded = bytearray(encode_frame(payload, synced))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    assert decode_frame(bytes(encoded)) is None


@given(PAYLOADS, st.data())
def test_no_part_of_a_frame_is_whole(payload: bytes, data: st.DataObject) -> None:
    encoded = encode_frame(payload, 0)
    length = data.draw(st.integers(0, len(encoded) - 1))
    assert decode_frame(encoded[:length]) is None
    assert decode_frame(encoded[:length] + bytes(len(encoded))) is None


@given(st.integers(0, 200))
def test_zeros_are_no_frame(count: int) -> None:
    assert decode_frame(bytes(count)) is None


@pytest.mark.parametrize("length", [0, MAX_PAYLOAD + 1])
def test_an_empty_or_too_long_payload_is_not_framed(length: int) -> None:
    with pytest.raises(ValueError, match="a payload has 1 to"):
        encode_frame(bytes(length), 0)


def test_a_header_that_claims_an_impossible_length_is_no_frame() -> None:
    for length in (b"00000000", b"ffffffff", b"-0000001", b"xxxxxxxx"):
        assert decode_frame(b"ww1 " + length + b" 00000000 00000000 a\n") is None


@pytest.mark.parametrize("sizes", [[1, 2, 3], [5000, 1], [3_000_000, 10, 1_048_576, 20]])
def test_a_scan_yields_all_frames_in_order_whatever_their_size(tmp_path: Path, sizes: list[int]) -> None:
    payloads = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    content = b"".join(encode_frame(payload, 0) for payload in payloads)
    with opened(tmp_path / "segment", content) as read:
        frames = list(scan(read, 0, len(content)))
        assert [frame.payload for frame in frames] == payloads
        assert [frame.offset for frame in frames[1:]] == [frame.end for frame in frames[:-1]]
        assert frames[-1].end == len(content)
        assert [read_frame(read, frame.offset) for frame in frames] == frames
        for payload_at in (whole_payload, delimited_payload):
            for some in (frames, frames[::2], frames[1::2]):
                found = payloads_at(read, [frame.offset for frame in some], payload_at)
                assert list(found) == [frame.payload for frame in some]


def test_a_scan_ends_at_the_first_place_without_a_whole_frame(tmp_path: Path) -> None:
    good = encode_frame(b"good", 0)
    with opened(tmp_path / "segment", good + b"torn" + good) as read:
        assert [frame.payload for frame in scan(read, 0, len(good) * 2 + 4)] == [b"good"]
        assert read_frame(read, len(good)) is None


def test_a_scan_starts_and_ends_where_it_is_told(tmp_path: Path) -> None:
    first, second, third = (encode_frame(payload, 0) for payload in (b"1", b"2", b"3"))
    with opened(tmp_path / "segment", first + second + third) as read:
        frames = scan(read, len(first), len(first + second))
        assert [frame.payload for frame in frames] == [b"2"]


def test_a_whole_frame_after_a_broken_place_tells_whether_that_place_was_on_disk(tmp_path: Path) -> None:
    torn = b"x" * 50
    for synced, proof in ((0, False), (50, False), (51, True)):
        content = torn + encode_frame(b"broken too", 90)[:-1] + encode_frame(b"later", synced)
        with opened(tmp_path / "segment", torn + content) as read:
            assert was_synced(read, 50, len(torn + content)) is proof


def test_a_frame_is_found_behind_anything(tmp_path: Path) -> None:
    with opened(tmp_path / "segment", bytes(100) + b"ww1 ww1 " + encode_frame(b"a", 0)) as read:
        assert has_frame(read, 10_000)
        assert not has_frame(read, 120)


def test_frames_that_are_not_whole_are_told_among_their_neighbours(tmp_path: Path) -> None:
    good = encode_frame(b"good", 0)
    with opened(tmp_path / "segment", good + b"x" * len(good) + good) as read:
        for payload_at in (whole_payload, delimited_payload):
            found = payloads_at(read, [0, len(good), 2 * len(good), 3 * len(good)], payload_at)
            assert list(found) == [b"good", None, b"good", None]
