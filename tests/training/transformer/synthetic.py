"""A small log that can be learned: item `i` is followed by item `i + 1`."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from features.items.catalogue import Catalogue
from features.ragged import Histories, offsets_of, spans
from features.schema import EVENT_CODES, ITEM, MINUTE, EventType
from features.splits.windows import Windows
from training.transformer.config import RunOptions, TransformerParams

CLICK = EVENT_CODES[EventType.CLICK]
START = 1_700_000_000_000_000
PARAMS = TransformerParams(
    max_epochs=3, patience=3, batch_tokens=256, max_length=16, tail_share=0.1
)
OPTIONS = RunOptions(accelerator="cpu", threads=1, logger="none")


def item_table(count: int) -> pa.Table:
    """`count` items; neighbours in the chain share a category."""
    return pa.Table.from_pylist(
        [
            {
                "item_id": f"item{i:03d}",
                "title": f"Thing {i}",
                "categories": [f"topic {i // 5}"],
                "available": True,
                "received_at": 0,
            }
            for i in range(count)
        ],
        schema=ITEM,
    )


def events(users: int, items: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns sorted by (user, timestamp): each user walks along the chain of items."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, length + 1, size=users)
    user = np.repeat(np.arange(users), lengths)
    step = np.arange(len(user)) - np.repeat(offsets_of(lengths)[:-1], lengths)
    item = (np.repeat(random.integers(0, items, size=users), lengths) + step) % items
    begin = np.repeat(random.integers(0, 5000, size=users), lengths)
    return {
        "user": user.astype(np.int32),
        "item": item.astype(np.int32),
        "event_type": np.full(len(user), CLICK, dtype=np.int8),
        "timestamp": START + (begin + step) * MINUTE,
    }


def write_split(
    folder: Path, columns: dict[str, np.ndarray], items: pa.Table, fit_end: int | None = None
) -> Path:
    """The files of `data/split` that the stage reads."""
    folder.mkdir(parents=True, exist_ok=True)
    times = columns["timestamp"]
    table = pa.table(
        {
            **columns,
            "received_at": times,
            "organic": np.ones(len(times), dtype=bool),
            "set_aside_from": pa.nulls(len(times), pa.int64()),
            "capped": np.zeros(len(times), dtype=bool),
        }
    )
    pq.write_table(table, folder / "events.parquet")
    pq.write_table(items, folder / "fit_items.parquet")
    last = int(times.max()) + 1 if len(times) else START
    end = fit_end or last
    Windows(start=START, fit_end=end, rank_end=end, judge_end=last).write(folder / "windows.json")
    (folder / "rules.json").write_text(
        json.dumps({"history_length": 200, "repeats": False, "min_rating": 0.0})
    )
    return folder


def write_params(folder: Path, params: TransformerParams = PARAMS) -> None:
    """`params.yaml` with the section `fit`."""
    (folder / "params.yaml").write_text(yaml.safe_dump({"fit": dataclasses.asdict(params)}))


def catalogue(count: int) -> Catalogue:
    return Catalogue.from_table(item_table(count))


def histories(*rows: list[int]) -> tuple[Histories, np.ndarray]:
    """Histories of item indices, one event a minute, and the times of their requests."""
    lengths = [len(row) for row in rows]
    total = sum(lengths)
    minutes = spans(np.zeros(len(rows), dtype=np.int64), np.array(lengths, dtype=np.int64))
    return (
        Histories(
            offsets_of(lengths),
            np.array([item for row in rows for item in row], dtype=np.int32),
            np.full(total, CLICK, dtype=np.int8),
            START + minutes * MINUTE,
        ),
        START + np.array(lengths, dtype=np.int64) * MINUTE,
    )
