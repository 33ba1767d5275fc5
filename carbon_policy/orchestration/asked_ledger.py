"""The ledger as the decisions of one moment ask it: each question once, and none after one that got no answer.

A ledger that hangs costs a decision five seconds. Of a hundred decisions each would wait as long, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from carbon_policy.grid.deadline import within

PATIENCE_S = 5.0
"""For how long a decision waits for the ledger."""

T = TypeVar("T")


class AskedLedger:
    """What the ledger has answered, and whether it answers."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._error: Exception | None = None

    def ask(self, question: Hashable, call: Callable[[], T]) -> T:
        """The answer to a question.

        Args:
            question: Stands for it; equal ones have equal answers.
            call: Asks the ledger; what it returns is shared, and not to be changed.

        Raises:
            SetupError: The ledger cannot be read, or could not a moment ago.
            SourceUnavailableError: It took, or took a moment ago, too long.
        """
        if question not in self._answers:
            if self._error is not None:
                raise self._error
            try:
                self._answers[question] = within(PATIENCE_S, call, "the ledger")
            except Exception as error:
                self._error = error
                raise
        answer: T = self._answers[question]
        return answer
