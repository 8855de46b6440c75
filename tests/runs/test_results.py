import pytest

from koch_siamese.errors import InputError
from koch_siamese.runs.directory import Run
from koch_siamese.runs.results import (
    read_json,
    read_text,
    replace_text,
    write_csv,
)
from koch_siamese.runs.settings import Settings

LATIN_1 = "\udce90"  # how Python names a file b"\xe90"


def test_names_that_are_not_in_utf_8_are_written_as_they_are(tmp_path):
    write_csv(tmp_path / "x.csv", [{"class": LATIN_1}, {"class": "é"}])
    written = (tmp_path / "x.csv").read_bytes()
    assert written == b"class\n\xe90\n\xc3\xa9\n"
    assert read_text(tmp_path / "x.csv") == f"class\n{LATIN_1}\né\n"


def test_a_run_reads_group_names_that_are_not_in_utf_8(tmp_path):
    run = Run(tmp_path)
    settings = Settings(
        dataset="folder", split_by="group", test_groups=(LATIN_1,)
    )
    run.claim(settings)
    assert run.read_settings() == settings


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_text(tmp_path / "x", "text")
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "y", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_damaged_result_is_an_error_in_one_line(tmp_path):
    (tmp_path / "x.json").write_text('{"accuracy": 0.')
    with pytest.raises(
        InputError, match=r"x\.json is not JSON \(.*line 1 column"
    ):
        read_json(tmp_path / "x.json")
