"""Pictures as they are, and forms of files: the answers are those of the same pictures in base64."""

import io
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.unit.runtime.serving.fakes import (
    SIDE,
    FakeModel,
    client_of,
    front_of,
    image_model,
    numeric_model,
    tensor_model,
)
from tests.unit.runtime.serving.talking import connected

from modelservice.serving.inference import LARGE_BODY

PREDICT, EXPLAIN = "/v1/models/iris:predict", "/v1/models/iris:explain"


def picture(seed: int = 0, kind: str = "PNG") -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(values).save(written, kind)
    return written.getvalue()


async def ask(content: bytes, path: str = PREDICT, *, model: FakeModel | None = None) -> httpx.Response:
    async with client_of(front_of(model or image_model())) as client:
        return await client.post(path, content=content)


async def in_base64(*pictures: bytes, path: str = PREDICT, **members: Any) -> Any:
    async with client_of(front_of(image_model())) as client:
        instances = [{"b64": b64encode(one).decode()} for one in pictures]
        answer = await client.post(path, json={"instances": instances, **members})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("path", [PREDICT, EXPLAIN])
async def test_a_body_may_be_a_picture(kind: str, path: str) -> None:
    sent = picture(kind=kind)
    answer = await ask(sent, path)
    assert (answer.status_code, answer.json()) == (200, await in_base64(sent, path=path))


async def test_a_form_has_pictures_and_other_members() -> None:
    first, second = picture(1), picture(2)
    files = [("image", ("a.png", first, "image/png")), ("image", ("b", second, "application/octet-stream"))]
    fields = {"label": "virginica", "patch": "2", "heat_map": "true"}
    async with connected(front_of(image_model())) as client:
        answer = await client.post(PREDICT, files=files, data={"signature_name": "serving_default"})
        explained = await client.post(EXPLAIN, files=files, data=fields)
    assert answer.json() == await in_base64(first, second)
    assert explained.json() == await in_base64(first, second, path=EXPLAIN, label="virginica", patch=2, heat_map=True)


async def test_a_label_in_a_form_is_a_text_also_where_it_looks_like_a_number() -> None:
    model = image_model(("0", "1", "true"))
    for label in ("0", "1", "true"):
        body = form(file(picture()), part("label", label.encode()))
        answer = await ask(body, EXPLAIN, model=model)
        assert answer.json()["explanations"][0]["label"] == label


@pytest.mark.parametrize("head", [b"name=image; filename=a", b"filename=a.png;name=image", b'filename="a"; NAME=""'])
async def test_names_need_no_quotes(head: bytes) -> None:
    sent = picture()
    answer = await ask(form(b"content-disposition: form-data; %b\r\n\r\n%b" % (head, sent)))
    assert (answer.status_code, answer.json()) == (200, await in_base64(sent))


async def test_a_field_without_quotes_is_a_member() -> None:
    field = b"content-disposition: form-data; name=signature_name\r\ncontent-type: text/plain\r\n\r\nnone"
    answer = await ask(form(file(picture()), field))
    assert "'none'" in answer.json()["error"]


async def test_a_large_form_is_one_too() -> None:
    sent = [picture(seed) for seed in range(LARGE_BODY // 80)]
    assert len(b"".join(sent)) > LARGE_BODY
    async with connected(front_of(image_model())) as client:
        answer = await client.post(PREDICT, files=[(f"{number}", one) for number, one in enumerate(sent)])
    assert answer.json() == await in_base64(*sent)


def form(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    return b"".join(b"--x y\r\n%b\r\n" % part for part in parts) + b"--x y" + end


def part(name: str, content: bytes, *more: bytes) -> bytes:
    head = b'content-disposition: form-data; name="%b"%b' % (name.encode(), b"".join(more))
    return head + b"\r\n\r\n" + content


def file(content: bytes) -> bytes:
    return part("a", content, b'; filename="a"')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (form(file(picture()), end=b""), "the form is not whole: it does not end with its delimiter"),
        (form(file(picture()))[:-40], "the form is not whole: it does not end with its delimiter"),
        (form(b"content-type: image/png\r\n\r\n" + picture()), "a part of the form has no name"),
        (form(b""), "a part of the form has no name"),
        (form(file(b"GIF89a")), "the file 'a' of the form is neither a PNG nor a JPEG"),
        (form(part("label", b"setosa")), "the form has no picture; expected PNG or JPEG files"),
        (form(file(picture()), part("instances", b"[]")), "the form has pictures and a field instances"),
        (form(file(picture()), part("inputs", b"[]")), "both instances and inputs are set"),
        (form(file(picture()), part("unseen", b"maybe")), "unseen: must be true or false, not the text 'maybe'"),
        (
            form(file(picture()), part("unsen", b"1")),
            "the field 'unsen' of the form is not known here; did you mean unseen?",
        ),
        (form(file(picture()), part("patch", b"2")), "the field 'patch' of the form is not known here; leave it out"),
        (form(file(picture()), file(b"\x89PNG\r\n\x1a\n")), "instances[1]: "),
        (b"\x89PNG\r\n\x1a\nnot one", "instances[0]: "),
        (b"--", "the body is neither JSON, nor a PNG or JPEG, nor a form of them"),
        (b"--\r\n", "the body is neither JSON"),
        (b"{", "the body is not JSON"),
        (b"-- \r\n", "the form is not whole"),
        (b"GIF89a", "the body is neither JSON"),
        (picture().replace(b"\r\n", b"").replace(b"\n", b""), "with --data-binary @picture.png, with -d it does not"),
    ],
)
async def test_what_is_no_upload_is_said(body: bytes, said: str) -> None:
    answer = await ask(body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.parametrize("build", [numeric_model, tensor_model])
async def test_a_model_of_other_rows_takes_no_picture(build: Callable[[], FakeModel]) -> None:
    for body in (picture(), form(file(picture()))):
        answer = await ask(body, model=build())
        assert (answer.status_code, answer.json()["error"][:20]) == (400, "the body is not JSON")


async def test_the_page_offers_to_choose_a_file() -> None:
    for model, offered in ((image_model(), True), (numeric_model(), False), (tensor_model(), False)):
        async with client_of(front_of(model)) as client:
            page = (await client.get("/openapi.json")).json()
        taken = page["paths"][PREDICT]["post"]["requestBody"]["content"]
        assert ("multipart/form-data" in taken) == ("image/png" in taken) == offered
