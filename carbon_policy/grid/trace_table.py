"""A trace as a table of cells, whatever format it is stored in."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from carbon_policy.domain.errors import InvalidInputError, SourceUnavailableError

_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error)


@dataclass(frozen=True)
class Table:
    """A file's cells.

    Attributes:
        name: The file's name.
        unit: What its rows are counted in, for messages: `line` or `row`.
        header: Names of the columns.
        rows: Each row's number in the file and its cells as text; read as they are asked for.
    """

    name: str
    unit: str
    header: Sequence[str]
    rows: Iterator[tuple[int, Sequence[str]]]


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a `.csv`, `.csv.gz` or `.parquet` file.

    Raises:
        InvalidInputError: It is empty, or Parquet cannot be read here.
        SourceUnavailableError: It cannot be read; also while its rows are.
    """
    try:
        if path.suffix == ".parquet":
            yield _parquet_table(path)
        else:
            with open_text(path, "r") as file:
                yield _csv_table(path, file)
    except _UNREADABLE as error:
        raise SourceUnavailableError(
            f"{path} cannot be read as a trace ({type(error).__name__}); write it anew as UTF-8 CSV or Parquet."
        ) from error


@contextmanager
def open_text(path: Path, mode: str) -> Iterator[IO[str]]:
    """Open a text file to read (`r`) or write (`w`), gzipped if its name ends in `.gz`."""
    # utf-8-sig reads past the mark with which spreadsheets begin a CSV.
    encoding = "utf-8-sig" if mode == "r" else "utf-8"
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, f"{mode}t", encoding=encoding, newline="") as file:
        yield file


def _csv_table(path: Path, file: IO[str]) -> Table:
    reader = csv.reader(file)
    header = next(reader, [])
    if not header:
        raise InvalidInputError(f"{path.name} is empty; write a header and one row for each slot.")
    return Table(path.name, "line", header, ((reader.line_num, cells) for cells in reader if cells))


def _parquet_table(path: Path) -> Table:
    try:
        import pandas as pd  # Heavy, and an extra: imported where a Parquet file is named.

        frame = pd.read_parquet(path)
    except ImportError as error:
        raise InvalidInputError(
            f"{path.name} is Parquet; install prefect-carbon-policy[parquet] to read it, or write it as CSV."
        ) from error
    except ValueError as error:  # What pyarrow says of a file that is none of its own.
        raise SourceUnavailableError(f"{path} is no Parquet file that can be read; write it anew.") from error
    if frame.index.name is not None:
        frame = frame.reset_index()
    rows = frame.astype(str).itertuples(index=False, name=None)
    return Table(path.name, "row", [str(name) for name in frame.columns], enumerate(rows, start=1))
