import pytest

from koch_siamese.errors import InputError
from koch_siamese.runs.flagfiles import (
    find_flagfiles,
    format_flags,
    parse_flags,
    read_flagfile,
)
from koch_siamese.runs.settings import Settings


def test_flags_survive_a_round_trip_through_text():
    settings = Settings(
        filters=(8, 16), quarter_turns=True, learning_rate=1e-4, protocols=()
    )
    text = format_flags(settings)
    assert "--filters=8,16\n" in text
    assert "--quarter_turns=true\n" in text
    assert parse_flags(text) == settings
    assert parse_flags("") == Settings()
    assert parse_flags(f"# a recipe\n{text}") == settings


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--wasy=3", "wasy"),
        ("--ways=few", "ways"),
        ("--filters=a,b", "--filters is 'a,b'"),
        ("ways=3", "'ways=3' is not a flag"),
        ("--ways=1", "--ways is 1; expected at least 2"),
    ],
)
def test_wrong_lines_are_refused_in_text_and_in_a_file(
    line, expected, tmp_path
):
    with pytest.raises(InputError, match=expected):
        parse_flags(line)
    path = tmp_path / "wrong.flags"
    path.write_text(f"--seed=1\n{line}\n")
    with pytest.raises(InputError, match=expected):
        read_flagfile(path)


def test_a_flagfile_includes_another_and_changes_it(tmp_path):
    (tmp_path / "base.flags").write_text(
        "--ways=5\n--seed=3\n--workdir=runs/b\n"
    )
    path = tmp_path / "changed.flags"
    path.write_text(f"# changed\n--flagfile={tmp_path}/base.flags\n--ways=7\n")
    settings, workdir = read_flagfile(path)
    assert settings == Settings(ways=7, seed=3)
    assert workdir == "runs/b"
    with pytest.raises(InputError, match=r"absent\.flags"):
        read_flagfile(tmp_path / "absent.flags")


def test_a_flagfile_is_found_from_any_working_folder(tmp_path, monkeypatch):
    recipes = tmp_path / "clone" / "recipes"
    recipes.mkdir(parents=True)
    (recipes / "base.flags").write_text("--ways=5\n")
    (recipes / "own.flags").write_text("--flagfile=recipes/base.flags\n")
    (recipes / "lost.flags").write_text("--flagfile=recipes/absent.flags\n")
    for folder in (tmp_path / "clone", tmp_path, recipes):
        monkeypatch.chdir(folder)
        assert read_flagfile(recipes / "own.flags")[0].ways == 5
    assert read_flagfile("own.flags")[0].ways == 5
    expected = rf"recipes/absent\.flags, in {recipes}/lost\.flags: No such"
    with pytest.raises(InputError, match=expected):
        read_flagfile(recipes / "lost.flags")
    # The working folder is searched first.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/base.flags").write_text("--ways=6\n")
    assert read_flagfile(recipes / "own.flags")[0].ways == 6


def test_flagfiles_of_a_command_line():
    assert find_flagfiles(["train", "--seed=1"]) is None
    arguments = ["train", "--flagfile=a.flags", "--seed=1", "-flagfile", "b"]
    assert find_flagfiles(arguments) == "a.flags,b"


def test_lists_are_read_back_with_commas_and_quotes_in_their_items():
    settings = Settings(
        dataset="folder",
        split_by="group",
        training_groups=("Greek, ancient", 'the "old" one'),
        test_groups=("Latin", "'small caps'"),
    )
    text = format_flags(settings)
    assert parse_flags(text) == settings
    assert '--training_groups="Greek, ancient","the ""old"" one"\n' in text
    assert "--test_groups=Latin,'small caps'\n" in text  # quoted only if needed
