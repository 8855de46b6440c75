import koch_siamese
from koch_siamese.reporting.text import format_table


def test_columns_are_aligned_as_a_terminal_shows_them():
    rows = [("name", "score"), ("か", "1"), ("u\u0308", "22"), ("a\nb", "3")]
    assert format_table(rows).split("\n") == [
        "name  score",
        "か    1",
        "u\u0308     22",
        r"a\nb  3",
    ]


def test_what_is_imported_on_first_use_is_listed():
    assert "load_pretrained" in dir(koch_siamese)
