"""Waiting for sockets, however many the process has open: `select` stops at number 1023."""

import select
import socket


def readable(*sockets: socket.socket, timeout: float | None = None) -> list[socket.socket]:
    """The sockets that have something to read, or are closed; none when the time is over."""
    poll = select.poll()
    by_number = {each.fileno(): each for each in sockets}
    for number in by_number:
        poll.register(number, select.POLLIN)
    found = poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
    return [by_number[number] for number, _ in found]
