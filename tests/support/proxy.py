"""A network between a client and a server that can be cut, slowed down, and made to lie.

It stands on a port of its own and speaks HTTP/1.1, a request at a time. So it can answer 503 without asking the server,
and it can let a reply get lost, or come late, after the server has acted. Websockets are passed through.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import h11

T = TypeVar("T")

_CHUNK = 65536
# Zero seconds of lingering: the other end is told of a reset, and not of an end.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What can happen to a request."""

    UNAVAILABLE = "answered 503"
    LOST = "reply lost"
    LATE = "reply late"


@dataclass(frozen=True)
class Weather:
    """How often what goes wrong, as shares of the requests, 0 to 1.

    Attributes:
        unavailable: Answered 503; the server hears nothing of it.
        lost: The server acts, and the connection is reset before its reply.
        late: The server acts, and its reply comes `late_s` later.
        late_s: How much later.
        slow_s: Every request is held back for so long.
    """

    unavailable: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    late_s: float = 2.0
    slow_s: float = 0.0

    @property
    def shares(self) -> tuple[tuple[Fault, float], ...]:
        """How often each fault happens."""
        return ((Fault.UNAVAILABLE, self.unavailable), (Fault.LOST, self.lost), (Fault.LATE, self.late))


CALM = Weather()


class Proxy:
    """The network in front of a server on loopback. A context manager; it has a thread of its own.

    Args:
        upstream_port: The server's port.
        seed: Of what goes wrong.

    Attributes:
        port: Its own.
        weather: What goes wrong from now on; may be replaced at any time. What can go wrong in it goes wrong once
            with the first requests, so that no weather passes unnoticed, and from then on at random.
        happened: How often what went wrong.
    """

    def __init__(self, upstream_port: int, seed: int = 0) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self._weather = CALM
        self._owed: list[Fault] = []
        self.happened: Counter[str] = Counter()
        self._to_lose: list[tuple[str, bytes]] = []
        self._random = Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def weather(self) -> Weather:
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._owed = [fault for fault, share in weather.shares if share > 0]

    @property
    def has_struck(self) -> bool:
        """Whether all that can go wrong in this weather did."""
        return not self._owed

    @property
    def api_url(self) -> str:
        """Of the Prefect server behind it."""
        return f"http://127.0.0.1:{self.port}/api"

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._cut())
        self._do(self._end_handlers())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones."""
        self.happened["network cut"] += 1
        self._do(self._cut())

    def heal(self) -> None:
        """Take connections again, on the same port."""
        self._do(self._listen())

    def lose_reply(self, path: str, body: bytes = b"") -> None:
        """Lose the reply to the next request whose path ends so, and whose body holds that; the server acts on it."""
        self._to_lose.append((path, body))

    @property
    def nothing_to_lose(self) -> bool:
        """Whether each reply that was to get lost did."""
        return not self._to_lose

    def calm(self) -> None:
        """Let everything go right from now on."""
        self.weather = CALM
        self._to_lose.clear()
        self.heal()

    # --- in its thread

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            _reset(writer)

    async def _end_handlers(self) -> None:
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._open.add(writer)
        try:
            # Whatever ends a conversation - either side, a cut, the end of this proxy - ends it for both, and quietly.
            with contextlib.suppress(OSError, h11.ProtocolError, asyncio.CancelledError):
                await self._converse(_Side(h11.SERVER, reader, writer))
        finally:
            _reset(writer)
            self._open.discard(writer)
            self._handlers.discard(task)

    async def _converse(self, client: _Side) -> None:
        while (asked := await client.hear()) is not None:
            request, body = asked
            assert isinstance(request, h11.Request)
            if any(name == b"upgrade" for name, _ in request.headers):
                async with self._upstream() as server:
                    await server.say(request, body)
                    await _pipe_both(client, server)
                return
            weather, fault = self.weather, self._fault(request, body)
            await asyncio.sleep(weather.slow_s)
            if fault is Fault.UNAVAILABLE:
                no = h11.Response(status_code=503, headers=[("content-length", "0")], reason=b"On purpose")
                await client.say(no, b"")
            else:
                async with self._upstream() as server:
                    await server.say(request, body)
                    answered = await server.hear()
                if answered is None or fault is Fault.LOST:
                    return
                if fault is Fault.LATE:
                    await asyncio.sleep(weather.late_s)
                await client.say(*answered)
            if not client.next_turn():
                return

    def _fault(self, request: h11.Request, body: bytes) -> Fault | None:
        for path, part in self._to_lose:
            if request.target.endswith(path.encode()) and part in body:
                self._to_lose.remove((path, part))
                self.happened[Fault.LOST] += 1
                return Fault.LOST
        return self._draw()

    def _draw(self) -> Fault | None:
        fault = self._owed.pop() if self._owed else self._at_random()
        if fault is not None:
            self.happened[fault] += 1
        return fault

    def _at_random(self) -> Fault | None:
        drawn = self._random.random()
        for fault, share in self._weather.shares:
            if drawn < share:
                return fault
            drawn -= share
        return None

    @contextlib.asynccontextmanager
    async def _upstream(self) -> Any:
        """A connection for one request: the server may be another one by the next."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        self._open.add(writer)
        try:
            yield _Side(h11.CLIENT, reader, writer)
        finally:
            writer.close()
            self._open.discard(writer)


class _Side:
    """One end of a conversation."""

    def __init__(
        self,
        role: type[h11.SERVER] | type[h11.CLIENT],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.reader, self.writer = reader, writer
        self._http = h11.Connection(role)

    async def hear(self) -> tuple[h11.Request | h11.Response, bytes] | None:
        """The next message and its body; `None` where the other side has nothing more to say."""
        head, body = None, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self.reader.read(_CHUNK))
            elif isinstance(event, h11.Request | h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return head, bytes(body)
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None

    async def say(self, head: h11.Request | h11.Response, body: bytes) -> None:
        """Send a message; its headers say how its body is framed."""
        parts = [self._http.send(head)]
        if body:
            parts.append(self._http.send(h11.Data(data=body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self.writer.write(b"".join(part for part in parts if part))
        await self.writer.drain()

    def next_turn(self) -> bool:
        """Whether the connection takes another message."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def unread(self) -> bytes:
        """What has come in and belongs to no message."""
        return self._http.trailing_data[0]


async def _pipe_both(one: _Side, other: _Side) -> None:
    """Bytes both ways, until either side ends."""
    ways = [asyncio.ensure_future(_pipe(*pair)) for pair in ((one, other), (other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pipe(source: _Side, sink: _Side) -> None:
    data = source.unread()
    while True:
        sink.writer.write(data)
        await sink.writer.drain()
        data = await source.reader.read(_CHUNK)
        if not data:
            return


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    writer.transport.abort()
