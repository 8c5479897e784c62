"""Which secrets sign webhooks."""

import base64

import pytest

from store.webhook_secrets import key_of, new_secret


@pytest.mark.parametrize("length", [24, 64])
def test_a_secret_has_24_to_64_bytes(length: int) -> None:
    key = bytes(range(length))
    assert key_of(f"whsec_{base64.b64encode(key).decode()}") == key


@pytest.mark.parametrize(
    "secret",
    [
        *(f"whsec_{base64.b64encode(bytes(length)).decode()}" for length in (0, 23, 65)),
        base64.b64encode(bytes(32)).decode(),
        f"WHSEC_{base64.b64encode(bytes(32)).decode()}",
        f"whsec_{base64.b64encode(bytes(32)).decode()[:-1]}",  # not padded
        f"whsec_{'-' * 44}",
    ],
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="a webhook secret is whsec_ and 24 to 64 bytes in base64"):
        key_of(secret)


def test_a_new_secret_has_32_bytes_of_its_own() -> None:
    one, other = key_of(new_secret()), key_of(new_secret())
    assert len(one) == len(other) == 32
    assert one != other
