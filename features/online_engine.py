"""Which engine holds the online values, by settings: the SQLite file of the home, or a server.

A further engine of Feast is its setting (`base.settings`) and its configuration here.
"""

from base.redis_url import connection_string
from base.settings import Settings
from features.feast_store import OnlineEngine, embedded


def chosen(settings: Settings) -> OnlineEngine:
    """The engine in force. Raises InputError for an address that is none."""
    if settings.redis_url is not None:
        address = connection_string(settings.redis_url.get_secret_value())
        # Without skip_dedup Feast drops a row whose time is not later than that of the stored one.
        return OnlineEngine({"type": "redis", "connection_string": address, "skip_dedup": True})
    return embedded(settings.feast)
