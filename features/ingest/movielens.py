"""Read the MovieLens datasets as GroupLens distributes them: 100K, 1M (and 10M), latest, 20M to
25M.

The format is recognised by file names. A rating becomes a `rating` event whose value is the number
of stars. Genres become categories. Tags become the description of a second version of the item,
which counts as known from the time of its last tag.
"""

import json
from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from features.event_log import connect
from features.ingest.apply import apply
from features.ingest.ingest_error import IngestError
from features.ingest.mapping import TableMapping
from features.ingest.raw import ERROR, RAW, REJECTED, Raw
from features.ingest.readers import read_file
from features.ingest.spool import Rows, Spool, register
from features.schema import EVENT, ITEM, USER

#: The genre columns of `u.item`, in order.
GENRES_100K: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

_LATIN = TableMapping(separator="|", header=False, quoting=False, encoding="latin-1")
_DOUBLE_COLON = TableMapping(separator="::", header=False, quoting=False, encoding="latin-1")


def detect(folder: Path) -> str | None:
    """Which format `folder` holds: "100k", "dat", "csv", or None."""
    if (folder / "u.data").is_file():
        return "100k"
    if (folder / "ratings.dat").is_file():
        return "dat"
    ratings = folder / "ratings.csv"
    if ratings.is_file():
        with ratings.open("rb") as file:
            first = file.readline(100).removeprefix(BOM_UTF8).replace(b'"', b"").strip()
        alone = first == b"userId,movieId,rating,timestamp"
        return "csv" if alone or (folder / "movies.csv").is_file() else None
    return None


def read_movielens(folder: Path, kind: str) -> tuple[Rows, Rows, Rows]:
    """Events, items and users of format `kind` (see `detect`), mapped but not validated.

    Raises IngestError, which names the file and the missing column.
    """
    if kind == "100k":
        ratings = _ratings(folder / "u.data", TableMapping(separator="\t", header=False), _PLACES)
        return (
            ratings,
            _items_100k(folder / "u.item"),
            _users(folder / "u.user", _LATIN, _USER_100K),
        )
    if kind == "dat":
        ratings = _ratings(folder / "ratings.dat", _DOUBLE_COLON, _PLACES)
        items = _items(folder / "movies.dat", _DOUBLE_COLON, ("0", "1", "2"))
        return ratings, items, _users(folder / "users.dat", _DOUBLE_COLON, _USER_1M)
    names = {"user_id": "userId", "item_id": "movieId", "value": "rating", "timestamp": "timestamp"}
    ratings = _ratings(folder / "ratings.csv", TableMapping(), names)
    items = _items(folder / "movies.csv", TableMapping(), ("movieId", "title", "genres"))
    if (folder / "tags.csv").is_file():
        items = Spool.of([items, _tagged(items, folder / "tags.csv")])
    return ratings, items, USER.empty_table()


_PLACES: Final = {"user_id": "0", "item_id": "1", "value": "2", "timestamp": "3"}
_USER_100K: Final = ("user_id", "age", "gender", "occupation", "zip")
_USER_1M: Final = ("user_id", "gender", "age", "occupation", "zip")


def _ratings(path: Path, layout: TableMapping, columns: dict[str, str]) -> Spool:
    mapping = TableMapping(columns=columns, constants={"event_type": "rating"}, timestamp="s")
    return apply(read_file(path, layout), mapping, EVENT, str(path))


def _items_100k(path: Path) -> pa.Table:
    if not path.is_file():
        return ITEM.empty_table()
    raw = read_file(path, _LATIN)
    if len(raw.names) < 5 + len(GENRES_100K):
        raise IngestError(
            f"{path}: {5 + len(GENRES_100K)} columns were expected, it has {len(raw.names)}"
        )
    flags = [raw.table[f"c{5 + place}"].to_pylist() for place in range(len(GENRES_100K))]
    genres = [
        "|".join(
            genre
            for genre, flag in zip(GENRES_100K, row, strict=True)
            if flag == "1" and genre != "unknown"
        )
        for row in zip(*flags, strict=True)
    ]
    table = pa.table([raw.table["c0"], raw.table["c1"], pa.array(genres)], names=["c0", "c1", "c2"])
    return _catalogue(Raw(table, ("0", "1", "2"), raw.rejected), ("0", "1", "2"), path)


def _items(path: Path, layout: TableMapping, names: tuple[str, str, str]) -> pa.Table:
    if not path.is_file():
        return ITEM.empty_table()
    if layout.encoding != "utf-8" and _is_utf8(path):
        layout = replace(layout, encoding="utf-8")  # 10M is; 100K and 1M are not
    return _catalogue(read_file(path, layout), names, path)


def _is_utf8(path: Path) -> bool:
    try:
        path.read_text("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _catalogue(raw: Raw, names: tuple[str, str, str], path: Path) -> pa.Table:
    columns = dict(zip(("item_id", "title", "categories"), names, strict=True))
    mapping = TableMapping(columns=columns, constants={"available": True})
    connection, read = connect(), apply(raw, mapping, ITEM, str(path))
    register(connection, "items", read)
    items: pa.Table = connection.execute(
        """
        SELECT * REPLACE (
            coalesce(list_filter(categories, x -> x <> '(no genres listed)'), []) AS categories
        ) FROM items
        """
    ).to_arrow_table()
    return items


def _tagged(items: pa.Table, path: Path) -> pa.Table:
    """A second version of each tagged item.

    Tags that cannot be used become rows for the quarantine.
    """
    columns = {"item_id": "movieId", "description": "tag", "received_at": "timestamp"}
    connection = connect()
    connection.register("items", items)
    read = apply(read_file(path, TableMapping()), TableMapping(columns=columns), ITEM, str(path))
    register(connection, "read", read)
    connection.execute(
        f"""
        CREATE TABLE tags AS
        SELECT *, coalesce({ERROR}, CASE
            WHEN item_id IS NULL OR description IS NULL OR received_at IS NULL
                THEN 'a tag without movie, text or time'
            WHEN item_id NOT IN (SELECT item_id FROM items WHERE item_id IS NOT NULL)
                THEN 'a tag of a movie that is not in the catalogue' END) AS wrong
        FROM read
        """
    )
    versions: pa.Table = connection.execute(
        f"""
        SELECT items.*, tagged.description, tagged.received_at
        FROM items JOIN (
            SELECT item_id, string_agg(DISTINCT lower(description), ' ' ORDER BY lower(description))
                   AS description, max(received_at) AS received_at
            FROM tags WHERE wrong IS NULL GROUP BY item_id
        ) tagged USING (item_id)
        WHERE items.{ERROR} IS NULL
        ORDER BY item_id
        """
    ).to_arrow_table()
    wrong: pa.Table = connection.execute(
        f"SELECT wrong AS {ERROR}, {RAW} FROM tags WHERE wrong IS NOT NULL"
    ).to_arrow_table()
    return pa.concat_tables([versions, wrong.cast(REJECTED)], promote_options="default")


def _users(path: Path, layout: TableMapping, names: tuple[str, ...]) -> Rows:
    if not path.is_file():
        return USER.empty_table()
    raw = read_file(path, layout)
    if len(raw.names) != len(names):
        raise IngestError(
            f"{path}: the columns {', '.join(names)} were expected, it has {len(raw.names)}"
        )
    columns = [raw.table[f"c{place}"].to_pylist() for place in range(len(names))]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    users = pa.table(
        {
            "user_id": [row["user_id"] for row in rows],
            "attributes": [
                json.dumps({k: v for k, v in row.items() if k not in ("user_id", "zip")})
                for row in rows
            ],
        },
        schema=USER,
    )
    return Spool.joined([Spool.of([users]), raw.rejected])
