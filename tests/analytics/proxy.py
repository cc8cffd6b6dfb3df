"""A TCP proxy before a MongoDB that loses what it is told to lose. It runs in a thread."""

from __future__ import annotations

import socket
import threading


class Proxy:
    """Forwards connections to a server.

    Args:
        port: The server's, on the loopback.

    Attributes:
        port: Where it listens.
        accepted: Connections that came.
        inserts: Requests to insert that came.
        lost: Answers that were lost, with their connections.
    """

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self.inserts = 0
        self.lost = 0
        self._to_lose = 0
        self._mark = b""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lose_answers(self, count: int, to: bytes = b"insert\0") -> None:
        """Let so many requests that hold these bytes through, and cut before their answers."""
        with self._lock:
            self._to_lose, self._mark = count, to

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            sockets = list(self._open)
        for each in sockets:
            _shut(each)

    def close(self) -> None:
        _shut(self._listener)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, function: object, *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, 5)
            except OSError:
                client.close()
                continue
            with self._lock:
                self.accepted += 1
                self._open |= {client, server}
            server.settimeout(None)
            doomed = threading.Event()
            self._start(self._pump, client, server, doomed, True)
            self._start(self._pump, server, client, doomed, False)

    def _pump(
        self, source: socket.socket, sink: socket.socket, doomed: threading.Event, request: bool
    ) -> None:
        try:
            while data := source.recv(1 << 20):
                if request and b"insert\0" in data:
                    self.inserts += 1
                if request and self._to_lose and self._mark in data:
                    with self._lock:
                        if self._to_lose:
                            self._to_lose -= 1
                            doomed.set()
                elif not request and doomed.is_set():
                    self.lost += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        _shut(source)
        _shut(sink)
        with self._lock:
            self._open.discard(source)
        source.close()


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
