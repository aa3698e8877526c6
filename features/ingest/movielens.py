"""The MovieLens datasets as GroupLens distributes them: 100K, 1M (and 10M), latest, 20M to 25M.

Recognised by file names. A rating is a `rating` event whose value is the number of stars. Genres
become categories; tags become the description of a second version of the item, known when the last
of its tags was.
"""

import json
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from features.ingest.mapping import TableMapping, apply
from features.ingest.readers import read_file
from features.log import connect
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
    for name, files in {
        "100k": ("u.data", "u.item"),
        "dat": ("ratings.dat", "movies.dat"),
        "csv": ("ratings.csv", "movies.csv"),
    }.items():
        if all((folder / file).is_file() for file in files):
            return name
    return None


def read_movielens(folder: Path, kind: str) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Events, items and users of format `kind` (see `detect`), mapped but not validated."""
    if kind == "100k":
        ratings = _ratings(folder / "u.data", TableMapping(separator="\t", header=False), _PLACES)
        return (
            ratings,
            _items_100k(folder / "u.item"),
            _users(folder / "u.user", _LATIN, _USER_100K),
        )
    if kind == "dat":
        ratings = _ratings(folder / "ratings.dat", _DOUBLE_COLON, _PLACES)
        movies = read_file(folder / "movies.dat", _DOUBLE_COLON)
        items = _items(movies.rename_columns(["movieId", "title", "genres"]))
        return ratings, items, _users(folder / "users.dat", _DOUBLE_COLON, _USER_1M)
    names = {"user_id": "userId", "item_id": "movieId", "value": "rating", "timestamp": "timestamp"}
    ratings = _ratings(folder / "ratings.csv", TableMapping(), names)
    items = _items(read_file(folder / "movies.csv", TableMapping()))
    if (folder / "tags.csv").is_file():
        items = pa.concat_tables([items, _tagged(items, folder / "tags.csv")])
    return ratings, items, USER.empty_table()


_PLACES: Final = {"user_id": "0", "item_id": "1", "value": "2", "timestamp": "3"}
_USER_100K: Final = ("user_id", "age", "gender", "occupation", "zip")
_USER_1M: Final = ("user_id", "gender", "age", "occupation", "zip")


def _ratings(path: Path, layout: TableMapping, columns: dict[str, str]) -> pa.Table:
    mapping = TableMapping(columns=columns, constants={"event_type": "rating"}, timestamp="s")
    return apply(read_file(path, layout), mapping, EVENT, str(path))


def _items_100k(path: Path) -> pa.Table:
    raw = read_file(path, _LATIN)
    flags = [raw[str(5 + place)].to_pylist() for place in range(len(GENRES_100K))]
    genres = [
        "|".join(
            genre
            for genre, flag in zip(GENRES_100K, row, strict=True)
            if flag == "1" and genre != "unknown"
        )
        for row in zip(*flags, strict=True)
    ]
    return _items(pa.table({"movieId": raw["0"], "title": raw["1"], "genres": pa.array(genres)}))


def _items(movies: pa.Table) -> pa.Table:
    genres = pc.if_else(
        pc.equal(movies["genres"], "(no genres listed)"),
        pa.scalar(None, pa.string()),
        movies["genres"],
    )
    categories = pc.split_pattern(pc.fill_null(genres, ""), "|").to_pylist()
    count = movies.num_rows
    columns = {
        "item_id": movies["movieId"],
        "title": movies["title"],
        "categories": pa.array(
            [[g for g in row if g] for row in categories], ITEM.field("categories").type
        ),
        "available": pa.array([True] * count),
    }
    return pa.table(
        [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in ITEM
        ],
        names=ITEM.names,
    )


def _tagged(items: pa.Table, path: Path) -> pa.Table:
    tags = read_file(path, TableMapping())
    connection = connect()
    connection.register("items", items)
    connection.register("tags", tags)
    rows: pa.Table = connection.execute(
        """
        SELECT items.* REPLACE (
            tagged.description AS description,
            make_timestamptz(tagged.known_at) AS received_at
        )
        FROM items JOIN (
            SELECT movieId AS item_id, string_agg(DISTINCT lower(tag), ' ' ORDER BY lower(tag))
                   AS description, max(timestamp::BIGINT) * 1000000 AS known_at
            FROM tags WHERE tag IS NOT NULL GROUP BY movieId
        ) tagged USING (item_id)
        ORDER BY item_id
        """
    ).to_arrow_table()
    return rows.cast(items.schema)


def _users(path: Path, layout: TableMapping, names: tuple[str, ...]) -> pa.Table:
    if not path.is_file():
        return USER.empty_table()
    rows = read_file(path, layout).rename_columns(list(names)).to_pylist()
    return pa.table(
        {
            "user_id": [row["user_id"] for row in rows],
            "attributes": [
                json.dumps({k: v for k, v in row.items() if k not in ("user_id", "zip")})
                for row in rows
            ],
        },
        schema=USER,
    )
