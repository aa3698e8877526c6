"""Reading sources: files by mapping, databases, MovieLens; and the errors for bad ones."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from base import params
from features.ingest import IngestError, IngestParams, Mapping, TableMapping, read_source
from features.ingest import store_events as store

NOW = 1_800_000_000_000_000
OURS = "user_id,item_id,event_type,timestamp\n"


def csv(folder: Path, text: str | bytes, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_foreign_csv_needs_only_a_mapping(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "when;visitor;what;product\n2024-03-01 10:00:00;v1;addtocart;p1\n"
        "2024-03-01 12:00:00+02:00;v2;transaction;p2\n",
    )
    values = {
        "mapping": {
            "events": {
                "separator": ";",
                "columns": {
                    "timestamp": "when",
                    "user_id": "visitor",
                    "event_type": "what",
                    "item_id": "product",
                },
                "event_types": {"addtocart": "cart", "transaction": "purchase"},
                "constants": {"placement": "shop"},
            }
        }
    }
    mapping = params.build(IngestParams, "ingest", values).mapping
    report = store(read_source(path, mapping).events, tmp_path / "log", 0, NOW)
    assert (report.stored, report.quarantined) == (2, 0)
    rows = pq.read_table(tmp_path / "log" / report.partitions[0]).to_pylist()
    assert [row["event_type"] for row in rows] == ["cart", "purchase"]
    assert {row["timestamp"].isoformat() for row in rows} == {"2024-03-01T10:00:00+00:00"}
    assert {row["placement"] for row in rows} == {"shop"}


def test_a_file_without_header_is_mapped_by_place(tmp_path: Path) -> None:
    path = csv(tmp_path, "1::2::5::978300760\n", "x.dat")
    mapping = TableMapping(
        header=False,
        separator="::",
        columns={"user_id": 0, "item_id": 1, "value": 2, "timestamp": 3},
        constants={"event_type": "rating"},
    )
    events = read_source(path, Mapping(events=mapping)).events
    assert events["timestamp"].to_pylist() == [978300760_000_000]


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("s", "978300760", 978300760_000_000),
        ("s", "978300760.25", 978300760_250_000),
        ("ms", "978300760123", 978300760_123_000),
        ("us", "978300760123456", 978300760_123_456),
        ("auto", "978300760123456", 978300760_123_456),
        ("auto", "978300760", 978300760_000_000),
        ("auto", "2001-01-01T00:00:00Z", 978307200_000_000),
        ("iso", "2001-01-01", 978307200_000_000),
        ("%d/%m/%Y", "02/01/2001", 978393600_000_000),
    ],
)
def test_times_are_read_exactly(tmp_path: Path, unit: str, text: str, expected: int) -> None:
    path = csv(tmp_path, OURS + f"u,i,click,{text}\n")
    columns = {name: name for name in OURS.strip().split(",")}
    mapping = Mapping(events=TableMapping(columns=columns, timestamp=unit))
    assert read_source(path, mapping).events["timestamp"].to_pylist() == [expected]


def test_a_database_table_is_a_source(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE sales (who TEXT, sku TEXT, at INTEGER)"))
        connection.execute(sa.text("INSERT INTO sales VALUES ('u', 'i', 978300760)"))
    engine.dispose()
    mapping = TableMapping(
        path="sales",
        columns={"user_id": "who", "item_id": "sku", "timestamp": "at"},
        constants={"event_type": "purchase"},
    )
    events = read_source(url, Mapping(events=mapping)).events
    assert store(events, tmp_path / "log", 0, NOW).stored == 1
    with pytest.raises(IngestError, match="no such table"):
        read_source(url, Mapping(events=TableMapping(path="absent")))


def test_malformed_rows_are_kept_for_the_quarantine(tmp_path: Path) -> None:
    path = csv(tmp_path, OURS + "u,i,click,978300760\nu,i,click\nu,j,click,978300761\n")
    report = store(read_source(path).events, tmp_path / "log", 0, NOW)
    assert (report.rows, report.stored, report.quarantined) == (3, 2, 1)
    assert report.reasons == {"malformed row: 3 fields, expected 4": 1}


def test_parts_without_rows_are_no_fault_among_others(tmp_path: Path) -> None:
    mapping = Mapping(events=TableMapping(path="part-*.csv"))
    (tmp_path / "part-0.csv").write_bytes(b"")
    (tmp_path / "part-1.csv").write_text(OURS)
    with pytest.raises(IngestError, match=r"part-0\.csv: the file is empty"):
        read_source(tmp_path, mapping)
    (tmp_path / "part-2.csv").write_text(OURS + "u,i,click,978300760\n")
    assert read_source(tmp_path, mapping).events.num_rows == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (OURS.encode(), "holds no rows"),
        (OURS.encode() + b"u,caf\xe9,click,978300760\n", "not utf-8; set the mapping's encoding"),
        (b"user,item,when\nu,i,1\n", "unknown columns user, item, when; map the columns"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = csv(tmp_path, content)
    with pytest.raises(IngestError, match=message) as error:
        read_source(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_another_encoding_is_one_setting_away(tmp_path: Path) -> None:
    path = csv(tmp_path, OURS.encode() + b"u,caf\xe9,click,978300760\n")
    columns = {name: name for name in OURS.strip().split(",")}
    mapping = Mapping(events=TableMapping(columns=columns, encoding="latin-1"))
    assert read_source(path, mapping).events["item_id"].to_pylist() == ["café"]


def test_a_broken_parquet_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = csv(tmp_path, "not parquet at all", "events.parquet")
    with pytest.raises(IngestError, match="not a readable Parquet file") as error:
        read_source(path)
    assert "\n" not in str(error.value)


def test_a_mapping_to_a_column_that_is_not_there_names_both(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n1,2\n")
    mapping = Mapping(events=TableMapping(columns={"user_id": "visitor"}))
    with pytest.raises(IngestError, match=r"no column 'visitor' for 'user_id'; the file has: a, b"):
        read_source(path, mapping)
    with pytest.raises(IngestError, match="'visitor', which is not one of our columns"):
        read_source(path, Mapping(events=TableMapping(columns={"visitor": "a"})))


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="no such file or folder"):
        read_source(tmp_path / "nowhere")
    with pytest.raises(IngestError, match=r"no events\.csv"):
        read_source(tmp_path)


def test_a_folder_of_parquet_brings_items_and_users(tmp_path: Path) -> None:
    events = {"user_id": ["u"], "item_id": ["i"], "event_type": ["click"], "timestamp": [10**15]}
    pq.write_table(pa.table(events), tmp_path / "events.parquet")
    items = pa.table({"item_id": ["i"], "title": ["A thing"], "categories": [["x", "y"]]})
    pq.write_table(items, tmp_path / "items.parquet")
    pq.write_table(pa.table({"user_id": ["u"]}), tmp_path / "users.parquet")
    source = read_source(tmp_path)
    assert source.items["received_at"].cast(pa.int64()).to_pylist() == [10**15]
    assert source.items["categories"].to_pylist() == [["x", "y"]]
    assert source.users["user_id"].to_pylist() == ["u"]


def test_movielens_100k_is_recognised(real_data: Path) -> None:
    source = read_source(real_data / "movielens-100k")
    assert source.kind == "movielens-100k"
    assert (source.events.num_rows, source.items.num_rows) == (100_000, 1_682)
    rows = {row["item_id"]: row for row in source.items.whole().to_pylist()}
    assert rows["1"]["title"] == "Toy Story (1995)"
    assert rows["1"]["categories"] == ["Animation", "Children's", "Comedy"]
    assert "\ufffd" not in "".join(row["title"] for row in rows.values())
    assert source.users.num_rows == 943
    first = source.events.whole().to_pylist()[0]
    assert (first["user_id"], first["item_id"], first["value"]) == ("196", "242", "3")
    assert first["timestamp"] == 881250949_000_000


def test_movielens_latest_brings_tags_as_a_later_version(real_data: Path) -> None:
    source = read_source(real_data / "movielens-latest-small")
    versions = [row for row in source.items.whole().to_pylist() if row["item_id"] == "339"]
    assert [row["description"] is None for row in versions] == [True, False]
    assert "sandra 'boring' bullock" in versions[1]["description"]
    assert versions[0]["received_at"] < versions[1]["received_at"]


def test_movielens_1m_is_recognised(tmp_path: Path) -> None:
    csv(tmp_path, "1::1193::5::978300760\n2::661::3::978302109\n", "ratings.dat")
    movies = "1193::Misérables, Les (1995)::Drama|Musical\n661::A: B::Comedy\n"
    csv(tmp_path, movies.encode("latin-1"), "movies.dat")
    csv(tmp_path, "1::F::1::10::48067\n", "users.dat")
    source = read_source(tmp_path)
    assert source.kind == "movielens-dat"
    assert source.events["item_id"].to_pylist() == ["1193", "661"]
    assert source.items["title"].to_pylist() == ["Misérables, Les (1995)", "A: B"]
    assert source.items["categories"].to_pylist() == [["Drama", "Musical"], ["Comedy"]]
    assert source.users["user_id"].to_pylist() == ["1"]


def test_movielens_25m_is_recognised_with_quoted_titles(tmp_path: Path) -> None:
    csv(tmp_path, "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n", "ratings.csv")
    csv(tmp_path, 'movieId,title,genres\n296,"Good, the Bad",(no genres listed)\n', "movies.csv")
    source = read_source(tmp_path)
    assert source.items["title"].to_pylist() == ["Good, the Bad"]
    assert source.items["categories"].to_pylist() == [[]]
