import pytest

from devices.names import InvalidName, clean_name


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Pump", "Pump"),
        ("  Pump 2\n", "Pump 2"),
        ("Cafe\u0301", "Café"),
        ("水泵", "水泵"),
        ("👩\u200d🌾 field", "👩\u200d🌾 field"),
        ("<b>'\";--", "<b>'\";--"),
        ("a" * 80, "a" * 80),
    ],
)
def test_a_name_is_stored_composed_and_without_blanks_around_it(given: str, stored: str) -> None:
    assert clean_name(given) == stored


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "\u200b",
        "\u00a0",
        "a\nb",
        "a\x00b",
        "a\x7f",
        "a\tb",
        "a\u2028b",
        "\u202egnp.exe",
        "a\ud800",
        "a\ue000",
        "a" * 81,
    ],
)
def test_a_name_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        clean_name(name)


def test_an_optional_name_may_be_empty_but_not_invisible() -> None:
    assert clean_name("  ", optional=True) == ""
    with pytest.raises(InvalidName):
        clean_name("\u200b", optional=True)
