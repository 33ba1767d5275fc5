"""A series from another one."""

from __future__ import annotations

from carbon_policy.domain.signal import IntensitySeries


def changed(series: IntensitySeries, **fields: object) -> IntensitySeries:
    """The series with other values of some fields, checked anew.

    Not `model_copy`: that checks nothing, and carries the cached integrals of the other series along.
    """
    known = {name: getattr(series, name) for name in IntensitySeries.model_fields}
    return IntensitySeries(**known | fields)


def saying(series: IntensitySeries, sentence: str, **fields: object) -> IntensitySeries:
    """The series with one more sentence of provenance, and other values of some fields."""
    return changed(series, provenance=(*series.provenance, sentence), **fields)
