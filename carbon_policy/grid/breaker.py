"""A circuit breaker: a host that keeps failing is left alone for a while, and then tried with one question."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.grid.http_errors import HttpStatusError, NoAnswerError


class HostLeftAloneError(SourceUnavailableError):
    """A host failed several times in a row and is not asked for now."""


@dataclass
class _Circuit:
    failures: int = 0
    opens_until: float = -math.inf
    probing: bool = False


@dataclass
class Breaker:
    """Counts failed questions by host. Safe to use from several threads.

    A question fails where the host does not answer, or answers 429 or 5xx to the last attempt. Any other
    answer shows that the host is there, even one that refuses.

    Attributes:
        failures: After this many failed questions in a row the host is left alone.
        rest_s: For how long; then one question goes through, and its outcome decides.
        longest_rest_s: A host that asks for longer gets this.
        clock: Monotonic seconds.
    """

    failures: int = 3
    rest_s: float = 60.0
    longest_rest_s: float = 3600.0
    clock: Callable[[], float] = time.monotonic
    _circuits: dict[str, _Circuit] = field(default_factory=dict, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @contextmanager
    def question(self, host: str) -> Iterator[None]:
        """Around one question with all its attempts.

        Args:
            host: With its port, where that is not the usual one.

        Raises:
            HostLeftAloneError: The host is left alone; nothing was asked.
        """
        self._begin(host)
        failed, after_s = True, 0.0
        try:
            yield
            failed = False
        except HttpStatusError as error:
            failed, after_s = error.is_passing, error.after_s or 0.0
            raise
        except NoAnswerError:
            raise
        except SourceUnavailableError:
            failed = False  # It answered, if not with what was asked for.
            raise
        finally:
            self._end(host, failed, after_s)

    def reset(self) -> None:
        """Forget all hosts."""
        with self._lock:
            self._circuits.clear()

    def _begin(self, host: str) -> None:
        with self._lock:
            circuit = self._circuits.get(host)
            if circuit is None:
                return
            left_s = circuit.opens_until - self.clock()
            if left_s > 0 or circuit.probing:
                after = (
                    f"{circuit.failures} failed questions in a row"
                    if circuit.failures > 1
                    else "a failed question"
                )
                raise HostLeftAloneError(
                    f"{host} is left alone for {max(1, math.ceil(left_s))} s more, after {after};"
                    " try after that, or name another source."
                )
            circuit.probing = circuit.failures >= self.failures

    def _end(self, host: str, failed: bool, after_s: float) -> None:
        with self._lock:
            if not failed:
                self._circuits.pop(host, None)
                return
            circuit = self._circuits.setdefault(host, _Circuit())
            circuit.failures += 1
            circuit.probing = False
            rest_s = min(after_s, self.longest_rest_s)
            if circuit.failures >= self.failures:
                rest_s = max(rest_s, self.rest_s)
            circuit.opens_until = self.clock() + rest_s
