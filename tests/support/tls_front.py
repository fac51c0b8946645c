"""TLS in front of a server that knows none, on loopback. Of brokers of Kafka it changes the port that they tell clients to come to."""

import select
import socket
import ssl
import threading
from contextlib import ExitStack, suppress


class TlsFront:
    """Takes connections by TLS at `port` until its end, and passes them on in the clear to the port behind."""

    def __init__(self, context: ssl.SSLContext, port_behind: int, *, is_kafka: bool = False) -> None:
        self._context = context
        self._behind = port_behind
        self._is_kafka = is_kafka
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def end(self) -> None:
        """Cut every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # cut by `end`
                return
            self._open.add(connection)
            thread = threading.Thread(target=self._pass, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _pass(self, connection: socket.socket) -> None:
        """Pass on what comes from either side, until one of them has ended or is refused."""
        with ExitStack() as ends, suppress(OSError):
            ends.callback(self._open.discard, connection)
            ends.enter_context(connection)
            # Not detached from `connection`: shutting that one down is how `end` reaches this one, whatever it waits for.
            front = ends.enter_context(self._context.wrap_socket(connection.dup(), server_side=True))
            behind = ends.enter_context(socket.create_connection(("127.0.0.1", self._behind)))
            told = bytearray()
            while True:
                readable = [front] if front.pending() else select.select([front, behind], [], [])[0]
                for source in readable:
                    received = source.recv(65_536)
                    if not received:
                        return
                    if source is front:
                        behind.sendall(received)
                    else:
                        told += received
                        front.sendall(self._complete(told))

    def _complete(self, told: bytearray) -> bytes:
        """Take from what was told whatever may go on: of a broker whole answers, as if it were where we are."""
        if not self._is_kafka:
            answers = bytes(told)
            told.clear()
            return answers
        there, here = (b"127.0.0.1" + port.to_bytes(4, "big") for port in (self._behind, self.port))
        answers = b""
        while len(told) >= 4 and len(told) >= (end := 4 + int.from_bytes(told[:4], "big")):
            answers += bytes(told[:end]).replace(there, here)
            del told[:end]
        return answers
