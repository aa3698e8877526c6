"""Choose, by settings, the engine that holds the online values: the SQLite file in the home, or a
server.

To add another engine of Feast, add its setting (`base.settings`) and its configuration here.
"""

from base.redis_url import connection_string
from base.settings import Settings
from features.feast_store import OnlineEngine, embedded


def chosen(settings: Settings) -> OnlineEngine:
    """The engine to use. Raises InputError for an invalid address."""
    if settings.redis_url is not None:
        address = connection_string(settings.redis_url.get_secret_value())
        # skip_dedup: otherwise Feast drops a row that is not newer than the stored one.
        return OnlineEngine({"type": "redis", "connection_string": address, "skip_dedup": True})
    return embedded(settings.feast)
