"""Numbers in headers."""

import pytest

from api.http.headers import digits


@pytest.mark.parametrize(
    ("header", "number"),
    [
        *(("0", 0), ("7", 7), ("007", 7), ("99", 99), ("100", 99), ("9" * 5000, 99), ("0" * 5000 + "8", 8)),
        *((text, 0) for text in ("0" * 5000, "", "-1", "1.5", "1e3", "1_0", "²", "٣")),
    ],
)
def test_any_header_is_a_number(header: str, number: int) -> None:
    assert digits(header, 99) == number
