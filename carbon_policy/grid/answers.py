"""Answers that were given lately, so that the same question is not asked twice in a slot."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any


@dataclass
class Answers:
    """A cache in memory, bounded. Safe to use from several threads.

    Attributes:
        size: The most answers kept; the oldest go first.
        clock: Monotonic seconds.
    """

    size: int = 256
    clock: Callable[[], float] = time.monotonic
    _kept: dict[bytes, tuple[float, Any]] = field(default_factory=dict, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    # Keys are made with a salt that no other process has: a key in a dump of memory gives no secret away.
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(16), init=False, repr=False)

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, url: str, credentials: Iterable[str]) -> bytes:
        """Names a question of one asker; neither can be read from it.

        Args:
            url: With its query.
            credentials: Headers and their values, a user and a password: what another asker has otherwise.
        """
        told = json.dumps([url, *credentials]).encode()
        return hashlib.blake2b(told, key=self._salt, digest_size=16).digest()

    def get(self, key: bytes) -> tuple[Any] | None:
        """The answer, in a tuple of one as it may be `None` itself; nothing where it has lapsed."""
        with self._lock:
            kept = self._kept.get(key)
        return (kept[1],) if kept is not None and self.clock() < kept[0] else None

    def keep(self, key: bytes, answer: Any, ttl_s: float) -> None:
        """Keep an answer for a while, seconds; for none at all, not."""
        if ttl_s <= 0:
            return
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= self.size:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = (self.clock() + ttl_s, answer)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()
