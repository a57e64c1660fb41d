"""Members of request bodies are of one form each."""

import pytest

from scone.cas.http.bodies import Body
from scone.errors import MalformedError


def test_bytes_are_in_base64():
    body = Body(b'{"quote": "AAE=", "none": null}')
    assert body.base64("quote") == b"\0\1"
    assert body.optional_base64("none") is None
    assert body.optional_base64("absent") is None
    body.end()


@pytest.mark.parametrize("text", ["AAF=", "AAE", "A-E=", "AA E=", "x"])
@pytest.mark.parametrize("read", [Body.base64, Body.optional_base64])
def test_another_text_for_bytes_is_refused_at_its_place(read, text):
    with pytest.raises(MalformedError, match=r"^request body\.quote: expected .*base64"):
        read(Body(f'{{"quote": "{text}"}}'.encode()), "quote")
