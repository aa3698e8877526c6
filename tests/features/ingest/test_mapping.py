"""Settings of a mapping that cannot be right give a one-line error before anything is read."""

from pathlib import Path
from typing import Any

import pytest

from base import params
from base.params import ParamsError
from features.ingest import IngestParams
from tests.features.ingest.bringing import EVENTS, S, bring, refused, stored, write


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"separator": ""}, "`separator` is empty"),
        ({"separator": "\r\n"}, "`separator` holds a line break"),
        ({"list_separator": ""}, "`list_separator` is empty"),
        ({"impressions": ""}, "`impressions` is empty"),
        ({"path": ""}, "`path` is empty"),
        ({"timestamp": "unix"}, "`timestamp: unix` is neither auto, iso, d, s, ms, us, ns nor"),
        ({"timestamp": "%Q"}, "`timestamp: %Q` is neither"),
        ({"since": "2017-01-01"}, "`since` needs a unit under `timestamp`"),
        ({"since": "2017-01-01", "timestamp": "iso"}, "`since` needs a unit"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_one_line(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsError) as error:
        params.build(IngestParams, "ingest", {"mapping": {"events": setting}})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["rot13", "hex", "undefined", "no-such"])
def test_a_codec_that_is_no_encoding_is_one_line(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "e.csv", "uid,iid,action,at", f"u,i,click,{S}")
    said = refused(path, {"events": EVENTS | {"encoding": encoding}})
    assert f"there is no encoding '{encoding}'" in said


def test_a_separator_may_be_any_character(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "uid§iid§action§at", f"u§i§click§{S}", f"u§j§click§{S}§")
    report, _ = bring(path, tmp_path / "log", {"events": EVENTS | {"separator": "§"}})
    assert (report.rows, report.stored) == (2, 1)


def test_days_since_another_day_are_a_unit_that_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "uid,iid,action,at", "u,i,click,45658.5", "u,j,click,45659")
    assert "`timestamp` (d, s, ms, us, ns)" in refused(path, {"events": EVENTS})
    layout = EVENTS | {"timestamp": "d", "since": "1899-12-30"}
    bring(path, tmp_path / "log", {"events": layout})
    assert [str(row["timestamp"]) for row in stored(tmp_path / "log")] == [
        "2025-01-01 12:00:00+00:00",
        "2025-01-02 00:00:00+00:00",
    ]


def test_a_path_that_leads_out_of_the_folder_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "e.csv", "uid,iid,action,at", f"u,i,click,{S}")
    said = refused(tmp_path, {"events": EVENTS | {"path": str(tmp_path / "e.csv")}})
    assert "name it relative to the folder" in said
