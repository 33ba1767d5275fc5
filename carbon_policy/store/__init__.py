"""The ledger and the history in a database: SQLite by default, PostgreSQL by URL."""

from carbon_policy.store.forecasts import StoredForecast
from carbon_policy.store.history import History
from carbon_policy.store.ledger import Ledger
from carbon_policy.store.reading import Revision
from carbon_policy.store.result import RecordResult
from carbon_policy.store.upkeep import Forgotten, ZoneHistory

__all__ = [
    "Forgotten",
    "History",
    "Ledger",
    "RecordResult",
    "Revision",
    "StoredForecast",
    "ZoneHistory",
]
