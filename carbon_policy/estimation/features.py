"""Past runs as rows of numbers, and the run that is asked about as one more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from carbon_policy.domain.ledger import Scalar
from carbon_policy.estimation.forest import Floats
from carbon_policy.estimation.past_run import PastRun

_MOST_WORDS = 8
_LEAST_OFTEN = 3
"""A word that came up less often tells nothing: most such are names of files and dates."""

_Read = Callable[[str, Mapping[str, Scalar], float], float]


class Features:
    """What of a run the forest is told: its site, its size, its parameters, and how long ago it was."""

    def __init__(self, runs: Sequence[PastRun], sizes: Floats) -> None:
        """Choose the columns.

        Args:
            runs: The oldest first.
            sizes: How large each was, (n,); all ones where nothing says.
        """
        self._runs, self._sizes = runs, sizes
        columns: list[_Read] = [_site_is(site) for site in sorted({run.site for run in runs})]
        columns.append(lambda _site, _parameters, size: math.log(size))
        for name in sorted({name for run in runs for name in run.parameters}):
            columns.append(_number(name))
            words = Counter(word for run in runs if isinstance(word := run.parameters.get(name), str))
            columns += [
                _word_is(name, word)
                for word, often in words.most_common(_MOST_WORDS)
                if often >= _LEAST_OFTEN
            ]
        self._columns = columns

    def rows(self) -> Floats:
        """The past runs, (n, features). The last column is time, counted in runs: what a job takes drifts."""
        return self._table(
            [(run.site, run.parameters, size) for run, size in zip(self._runs, self._sizes, strict=True)],
            np.arange(len(self._runs), dtype=float),
        )

    def asked(self, sites: Sequence[str], parameters: Mapping[str, Scalar], size: float) -> Floats:
        """The next run on each site, (sites, features)."""
        return self._table(
            [(site, parameters, size) for site in sites], np.full(len(sites), float(len(self._runs)))
        )

    def _table(self, said: Sequence[tuple[str, Mapping[str, Scalar], float]], time: Floats) -> Floats:
        cells = [[read(*one) for read in self._columns] for one in said]
        return np.column_stack([np.asarray(cells, dtype=float).reshape(len(said), -1), time])


def number_of(value: Scalar | None) -> float:
    """A number, or true as 1 and false as 0; NaN for what is none."""
    return float(value) if isinstance(value, bool | int | float) else math.nan


def _site_is(name: str) -> _Read:
    return lambda site, _parameters, _size: float(site == name)


def _number(name: str) -> _Read:
    return lambda _site, parameters, _size: number_of(parameters.get(name))


def _word_is(name: str, word: str) -> _Read:
    return lambda _site, parameters, _size: float(parameters.get(name) == word)
