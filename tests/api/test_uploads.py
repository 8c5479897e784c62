"""Uploads: what is taken, what is refused, and who may use them."""

import io
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from api.pictures.intake import fitted
from store import inputs, retention
from store.catalog import load_catalog
from store.settings import CatalogSettings
from store.tables import Input, Upload
from tests.api.worker import Worker, png
from tests.pictures_in import BAD, GOOD, holed, mask, picture, turned

FORM = "multipart/form-data"
JPEG = {"Content-Type": "image/jpeg"}


def upload(client: httpx.Client, data: bytes, **headers: str) -> httpx.Response:
    return client.post("/v1/uploads", content=data, headers={"Content-Type": "application/octet-stream", **headers})


def form(client: httpx.Client, data: bytes, kind: str = "image/png") -> httpx.Response:
    return client.post("/v1/uploads", files={"file": ("picture", data, kind)})


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()


def faults(response: httpx.Response) -> set[str]:
    return {each["field"] for each in problem(response)["errors"]}


def rows(database: Engine, table: Any) -> int:
    with Session(database) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_pictures_of_all_kinds_are_taken(client: httpx.Client) -> None:
    for name, (make, size, mode) in GOOD.items():
        response = upload(client, make())
        assert response.status_code == 201, (name, response.text)
        made = response.json()
        assert (made["width"], made["height"]) == size, name
        kept = client.get(response.headers["location"])
        assert kept.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(kept.content)) as found:
            assert (found.mode, found.size) == (mode, size), name
        assert len(kept.content) == made["bytes"]


def test_files_that_are_no_pictures_are_refused(client: httpx.Client) -> None:
    """As uploads, in a form, and in a request for a job; the server goes on."""
    assert len(BAD) + len(WRONG) >= 40
    for name, (make, message) in BAD.items():
        for response in (upload(client, make()), form(client, make(), "application/octet-stream")):
            assert response.status_code == 422, (name, response.text)
            assert message in problem(response)["detail"], (name, response.text)
            assert faults(response) == {"file"}
        response = client.post("/v1/jobs", json={"prompt": "x", "image": url(make())})
        assert response.status_code == 422, name
        assert faults(response) == {"image"}
    assert client.get("/healthz").status_code == 200


# Requests for a job that are refused, with the field and a part of the message.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no picture": ({"image": "heart.png"}, "image", "is no picture"),
    "a number": ({"image": 7}, "image", "is no picture"),
    "an id that is none": ({"image": "0" * 64}, "image", "is the id of no upload of yours"),
    "a job that is none": (
        {"image": f"/v1/jobs/{UUID(int=0)}"},
        "image",
        "no job of yours",
    ),
    "an address elsewhere": ({"image": "https://example.org/heart.png"}, "image", "is no picture"),
    "a file": ({"image": "file:///etc/passwd"}, "image", "is no picture"),
    "no base64": ({"image": "data:image/png,abc"}, "image", "without base64"),
    "bad base64": ({"image": "data:image/png;base64,@@@"}, "image", "is no base64"),
    "an empty data URL": ({"image": "data:image/png;base64,"}, "image", "is empty"),
    "a wrong type": ({"image": url(picture(), "image/webp")}, "image", "is called image/webp and is a PNG"),
    "a mask alone": ({"mask": url(mask())}, "mask", "must be left out without image"),
    "a strength alone": ({"strength": 0.5}, "strength", "must be left out without image"),
    "strength 0": ({"image": url(picture()), "strength": 0}, "strength", "greater than 0"),
    "strength above 1": ({"image": url(picture()), "strength": 1.5}, "strength", "must be at most 1"),
    "a text as strength": ({"image": url(picture()), "strength": "much"}, "strength", "valid number"),
    "hardly any strength": ({"image": url(picture()), "strength": 0.01}, "strength", "must be at least 0.02"),
    "too many blocks": ({"image": url(picture()), "strength": 0.1, "blocks": 6}, "blocks", "must be at most 5"),
    "a mask of another size": ({"image": url(picture()), "mask": url(mask(32, 64))}, "mask", "must have the size"),
    "an empty mask": ({"image": url(picture()), "mask": url(mask(share=0))}, "mask", "paints nothing"),
    "a mask that is none": ({"image": url(picture()), "mask": url(b"no")}, "mask", "is no PNG"),
}


def test_pictures_that_a_job_cannot_start_from_are_refused(client: httpx.Client, database: Engine) -> None:
    for name, (fields, field, message) in WRONG.items():
        response = client.post("/v1/jobs", json={"prompt": "red heart", **fields})
        assert response.status_code == 422, (name, response.text)
        assert faults(response) == {field}, name
        assert message in problem(response)["detail"], (name, response.text)
    assert rows(database, Input) == 0


def test_a_request_that_is_no_upload_is_refused(client: httpx.Client) -> None:
    png = {"file": ("a.png", picture(), "image/png")}
    for response, status, message in [
        (client.post("/v1/uploads", json={"file": "x"}), 415, "Send the picture as the body"),
        (client.post("/v1/uploads", content=b"text", headers={"Content-Type": "text/plain"}), 415, "Send the picture"),
        (client.post("/v1/uploads", files={"picture": png["file"]}), 422, "picture must be a text, and is a file"),
        (client.post("/v1/uploads", files=[("file", png["file"]), ("file", png["file"])]), 422, "is there twice"),
        (client.post("/v1/uploads", files=png, data={"name": "x"}), 422, "is no part of an upload"),
        (client.post("/v1/uploads", files={"file": (None, "x")}), 422, "must be a file"),
        (form(client, picture(), "image/gif"), 422, "is called image/gif and is a PNG"),
        (
            client.post("/v1/uploads", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"}),
            422,
            "is no multipart form",
        ),
        (
            client.post("/v1/uploads", content=b"a", headers={"Content-Type": "multipart/form-data"}),
            422,
            "no multipart",
        ),
        (upload(client, bytes(2**25)), 413, "may have at most"),
    ]:
        assert response.status_code == status, response.text
        assert message in problem(response)["detail"], response.text


def test_metadata_is_gone_and_the_picture_turned(client: httpx.Client) -> None:
    assert b"secret place" in turned()
    response = upload(client, turned(), **JPEG)
    kept = client.get(response.headers["location"]).content
    assert b"secret" not in kept
    with Image.open(io.BytesIO(kept)) as found:
        assert found.size == (64, 96)
        assert not found.getexif()
        assert not found.info


def test_the_same_picture_is_one(client: httpx.Client, database: Engine) -> None:
    first, again = upload(client, picture()).json(), form(client, picture()).json()
    assert first == again
    assert rows(database, Upload) == 1
    assert upload(client, picture(mode="L")).json()["id"] != first["id"]


def test_a_job_starts_from_an_upload_and_keeps_it(client: httpx.Client, database: Engine, worker: Worker) -> None:
    data = picture(128, 64)
    made = upload(client, data).json()["id"]
    response = client.post("/v1/jobs", json={"prompt": "red heart", "image": made, "seed": 1})
    assert response.status_code == 202, response.text
    job = response.json()
    assert job["request"]["image"] == made
    assert job["request"]["mask"] is None
    assert job["request"]["strength"] == 0.6
    assert client.delete(f"/v1/uploads/{made}").status_code == 204
    assert client.get(f"/v1/uploads/{made}").status_code == 404
    kept = client.get(f"/v1/jobs/{job['id']}/inputs/image")
    with Image.open(io.BytesIO(kept.content)) as found, Image.open(io.BytesIO(data)) as sent:
        assert found.tobytes() == sent.tobytes()
    assert client.get(f"/v1/jobs/{job['id']}/inputs/mask").status_code == 404
    # A resolved request can be sent again, though its upload is gone.
    again = client.post("/v1/jobs", json=job["request"])
    assert again.status_code == 202, again.text
    assert again.json()["request"] == job["request"]
    for each in (job["id"], again.json()["id"]):
        worker.run(each)
        assert client.delete(f"/v1/jobs/{each}").status_code == 204
    assert rows(database, Input) == rows(database, Upload) == 0


def test_a_picture_of_a_job_is_the_beginning_of_the_next(
    client: httpx.Client, submit: Callable[..., str], worker: Worker
) -> None:
    first = submit()
    worker.run(first)
    for name in (first, f"/v1/jobs/{first}/images/0/iterates/latest", f"{client.base_url}/v1/jobs/{first}"):
        response = client.post("/v1/jobs", json={"prompt": "x", "image": name, "width": 64, "height": 64})
        assert response.status_code == 202, response.text
        assert client.get(f"/v1/jobs/{response.json()['id']}/inputs/image").content == png(2)
    draft = client.post("/v1/jobs", json={"prompt": "x", "image": f"/v1/jobs/{first}/images/0/iterates/1"})
    assert client.get(f"/v1/jobs/{draft.json()['id']}/inputs/image").content == png(1)
    missing = client.post("/v1/jobs", json={"prompt": "x", "image": f"/v1/jobs/{first}/images/0/iterates/9"})
    assert "has no iterate 9" in problem(missing)["detail"]


@pytest.mark.parametrize("made", [mask, holed])
def test_a_mask_is_kept_too(client: httpx.Client, made: Callable[[], bytes]) -> None:
    response = client.post("/v1/jobs", json={"prompt": "x", "image": url(picture()), "mask": url(made())})
    assert response.status_code == 202, response.text
    job = response.json()
    assert job["request"]["strength"] == 1.0
    assert client.get(f"/v1/jobs/{job['id']}/inputs/mask").status_code == 200


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ((512, 512), (512, 512)),
        ((640, 512), (640, 512)),
        ((4000, 2000), (728, 360)),
        ((9, 9), (512, 512)),
        ((1, 900), (128, 1024)),
    ],
)
def test_a_job_has_the_shape_of_its_picture(size: tuple[int, int], made: tuple[int, int]) -> None:
    """As far as the model makes it, with about as many pixels as by default."""
    shipped = load_catalog(CatalogSettings().catalog).default
    limits = shipped.limits.model_copy(update={"min_size": 128, "max_size": 1024})
    sides = shipped.defaults.model_copy(update={"width": 512, "height": 512})
    card = shipped.model_copy(update={"limits": limits, "defaults": sides})
    assert tuple(fitted(inputs.Upload("", b"", *size), card).values()) == made


def test_nobody_uses_the_pictures_of_another_key(holder: Callable[..., httpx.Client], database: Engine) -> None:
    mine, theirs, admin = holder("mine"), holder("theirs"), holder("admin", "admin")
    made = upload(mine, picture()).json()["id"]
    assert theirs.get(f"/v1/uploads/{made}").status_code == 404
    assert theirs.delete(f"/v1/uploads/{made}").status_code == 404
    refused = theirs.post("/v1/jobs", json={"prompt": "x", "image": made})
    assert "no upload of yours" in problem(refused)["detail"]
    job = mine.post("/v1/jobs", json={"prompt": "x", "image": made}).json()["id"]
    assert mine.get(f"/v1/jobs/{job}/inputs/image").status_code == 200
    assert theirs.get(f"/v1/jobs/{job}/inputs/image").status_code == 404
    assert admin.get(f"/v1/jobs/{job}/inputs/image").status_code == 200
    refused = theirs.post("/v1/jobs", json={"prompt": "x", "image": job})
    assert "no job of yours" in problem(refused)["detail"]
    # The same picture is another upload for another key.
    assert upload(theirs, picture()).json()["id"] == made
    assert rows(database, Upload) == 2


def test_a_request_that_is_sent_again_makes_one_job(client: httpx.Client) -> None:
    made = upload(client, picture()).json()["id"]
    request, key = {"prompt": "x", "image": made}, {"Idempotency-Key": "edit-1"}
    first = client.post("/v1/jobs", json=request, headers=key)
    client.delete(f"/v1/uploads/{made}")
    again = client.post("/v1/jobs", json=request, headers=key)
    assert again.status_code == 202, again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    other = client.post("/v1/jobs", json={**request, "image": url(mask())}, headers=key)
    assert problem(other)["type"].endswith("idempotency-key-reused")


def test_uploads_expire_and_inputs_go_with_their_jobs(client: httpx.Client, database: Engine, worker: Worker) -> None:
    made = upload(client, picture()).json()["id"]
    upload(client, mask())
    job = client.post("/v1/jobs", json={"prompt": "x", "image": made, "seed": 1}).json()["id"]
    with Session(database) as session, session.begin():
        assert session.execute(inputs.prune(3600)).all() == []
        assert len(session.execute(inputs.prune(0)).all()) == 2
        assert session.scalar(select(func.count()).select_from(Input)) == 1
    worker.run(job)
    with Session(database) as session, session.begin():
        ((_, digests),) = session.execute(retention.prune(0)).all()
        assert made in digests
        assert session.scalar(select(func.count()).select_from(Input)) == 0
