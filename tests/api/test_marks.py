"""What pictures say about how they were made: read by Pillow, exiftool and the reader of C2PA."""

import base64
import datetime
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import c2pa
import httpx
import numpy as np
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image
from pydantic import ValidationError
from sqlalchemy import Engine

from api.encoding.formats import FORMATS
from api.encoding.marking import Marking
from contract import infotext
from contract.fields import Generation
from store.pictures import marks
from store.settings import MarkSettings
from tests.api.serving import serving
from tests.api.worker import Worker, png

ALL = [form.media_type for form in FORMATS]
PROMPT = 'café <b>, "two" 心: line\nbreak'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def certificate(folder: Path) -> dict[str, str]:
    """The settings of a certificate that no list of trusted ones has."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(1)
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def name(common: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "Underpaint's tests"), (NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])

    def made(subject: str, key: ec.EllipticCurvePrivateKey, authority: bool) -> str:
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment"), False)
        usage |= dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
        signs = {"digital_signature": True, "key_cert_sign": authority, "crl_sign": authority}
        builder = (
            x509.CertificateBuilder(name("root"), name(subject), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(**usage, **signs), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        )
        if not authority:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    (folder / "chain.pem").write_text(made("leaf", own, authority=False) + made("root", root, authority=True))
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return {
        "UNDERPAINT_C2PA_CERTIFICATE": str(folder / "chain.pem"),
        "UNDERPAINT_C2PA_KEY": str(folder / "key.pem"),
    }


@pytest.fixture(scope="module")
def serve(postgres_url: str, redis_url: str, folder: Path) -> Iterator[Callable[..., str]]:
    """Starts an API with these settings, once for all tests that ask for it."""
    with ExitStack() as stack:
        running: dict[str, str] = {}

        def start(name: str, **settings: str) -> str:
            if name not in running:
                where = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
                running[name] = stack.enter_context(serving(folder / f"{name}.log", **where, **settings))
            return running[name]

        yield start


@pytest.fixture
def marked(serve: Callable[..., str], database: Engine, valkey: redis.Redis) -> Iterator[httpx.Client]:
    """A client of an API with default settings."""
    with httpx.Client(base_url=serve("marked"), trust_env=False, timeout=20) as client:
        yield client


def job(client: httpx.Client, worker: Worker) -> str:
    request = {"prompt": PROMPT, "negative_prompt": "blue", "seed": 7, "images": 2, "steps": 20, "tolerance": 0.01}
    made = client.post("/v1/jobs", json=request).json()["id"]
    worker.run(made, images=2)
    return made


def fetch(client: httpx.Client, made: str, kind: str = "image/png") -> httpx.Response:
    answer = client.get(f"/v1/jobs/{made}/images/1/iterates/1", headers={"Accept": kind})
    assert answer.headers["content-type"] == kind
    return answer


@pytest.mark.parametrize("kind", ALL)
def test_a_picture_tells_the_request(marked: httpx.Client, worker: Worker, kind: str) -> None:
    made = job(marked, worker)
    answer = fetch(marked, made, kind)
    # As A1111's readers do.
    with Image.open(io.BytesIO(answer.content)) as picture:
        text = picture.info.get("parameters")
        comment = picture.getexif().get_ifd(0x8769).get(0x9286)
    if kind != "image/png":
        assert isinstance(comment, bytes)
        assert comment.startswith(b"UNICODE\0")
        text = comment[8:].decode("utf-16-be")
    assert isinstance(text, str)
    said = infotext.read(text)
    assert (said["Prompt"], said["Negative prompt"], said["Seed"], said["Size-1"]) == (PROMPT, "blue", "8", "64")
    assert (said["Steps"], said["Method"], said["Iterate"], said["Job"]) == ("20", "srds", "1", made)
    found = marks.read(answer.content)
    assert found.text == text
    assert found.source == marks.GENERATED
    assert found.document
    assert (found.document["job"], found.document["image"], found.document["iterate"]) == (made, 1, 1)
    assert found.document["request"] == marked.get(f"/v1/jobs/{made}").json()["request"]
    sent = base64.b64encode(answer.content).decode()
    assert marked.post("/sdapi/v1/png-info", json={"image": sent}).json()["info"] == text


@pytest.mark.parametrize("kind", ALL)
def test_exiftool_reads_it(marked: httpx.Client, worker: Worker, kind: str, tmp_path: Path) -> None:
    if not (exiftool := shutil.which("exiftool")):
        pytest.skip("exiftool (libimage-exiftool-perl) is not installed")
    made = job(marked, worker)
    file = tmp_path / f"picture.{kind.partition('/')[2]}"
    file.write_bytes(fetch(marked, made, kind).content)
    ran = subprocess.run([exiftool, "-json", "-warning", "-error", "-all", str(file)], capture_output=True, check=True)
    said = json.loads(ran.stdout)[0]
    assert not said.keys() & {"Warning", "Error"}
    assert said["DigitalSourceType"] == marks.GENERATED
    assert said["CreatorTool"] == marks.software()
    assert PROMPT.partition("\n")[0] in said["Parameters" if kind == "image/png" else "UserComment"]
    assert json.loads(str(json.dumps(said["Made"])) if isinstance(said["Made"], dict) else said["Made"])["job"] == made


def test_the_pixels_of_a_png_are_those_that_were_computed(marked: httpx.Client, worker: Worker) -> None:
    made = job(marked, worker)
    sent = fetch(marked, made)
    assert sent.content != png(1)
    assert np.array_equal(pixels(sent.content), pixels(png(1)))
    # The ETag names exactly these bytes.
    again = fetch(marked, made)
    assert (again.content, again.headers["etag"]) == (sent.content, sent.headers["etag"])
    assert len({fetch(marked, made, kind).headers["etag"] for kind in ALL}) == 3


def pixels(picture: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(picture)))


@pytest.mark.parametrize(
    ("settings", "text", "source"),
    [
        ({"UNDERPAINT_PICTURE_PARAMETERS": "false"}, False, True),
        ({"UNDERPAINT_PICTURE_SOURCE": "false"}, True, False),
        ({"UNDERPAINT_PICTURE_PARAMETERS": "false", "UNDERPAINT_PICTURE_SOURCE": "false"}, False, False),
    ],
)
def test_each_mark_can_be_switched_off(
    generation: Callable[..., Generation],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    text: bool,
    source: bool,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    marking = Marking(MarkSettings())
    origin = made(generation())
    etags = {marking.etag("0a", form) for form in FORMATS}
    monkeypatch.undo()
    assert etags.isdisjoint(Marking(MarkSettings()).etag("0a", form) for form in FORMATS)
    for form in FORMATS:
        found = marks.read(marking._prepare(png(), form, origin))  # pyright: ignore[reportPrivateUsage]
        assert (bool(found.text), found.document is not None, found.source is not None) == (text, text, source)


def made(request: Generation) -> marks.Made:
    from uuid import UUID

    return marks.Made(UUID(int=1), 0, 2, 7, "srds", request)


def test_a_request_too_long_for_a_jpeg_is_left_out_there(generation: Callable[..., Generation]) -> None:
    long = made(generation().model_copy(update={"prompt": "x" * 70_000}))
    for form in FORMATS:
        found = marks.read(Marking(MarkSettings())._prepare(png(), form, long))  # pyright: ignore[reportPrivateUsage]
        assert found.source == marks.GENERATED
        assert (found.document is not None) == bool(found.text) == (form.name != "jpeg")


@pytest.mark.parametrize("kind", ALL)
def test_content_credentials(
    serve: Callable[..., str],
    certificate: dict[str, str],
    database: Engine,
    valkey: redis.Redis,
    worker: Worker,
    kind: str,
) -> None:
    with httpx.Client(base_url=serve("signed", **certificate), trust_env=False, timeout=20) as client:
        made = job(client, worker)
        answer = fetch(client, made, kind)
        assert answer.headers["etag"].startswith('W/"')
        unchanged = {"If-None-Match": answer.headers["etag"], "Accept": kind}
        assert client.get(answer.url, headers=unchanged).status_code == 304
    with c2pa.Reader(kind, io.BytesIO(answer.content)) as reader:
        assert reader.get_validation_state() == "Valid"
        said = json.loads(reader.json())
    manifest = said["manifests"][said["active_manifest"]]
    assert manifest["signature_info"]["issuer"] == "Underpaint's tests"
    (action,) = manifest["assertions"][0]["data"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", marks.GENERATED)
    assert action["softwareAgent"]["name"] == "Underpaint"
    # What else it says is still there, and covered by the signature.
    assert infotext.read(marks.read(answer.content).text)["Seed"] == "8"
    forged = answer.content.replace(b"Seed: 8", b"Seed: 9").replace(
        "Seed: 8".encode("utf-16-be"), "Seed: 9".encode("utf-16-be")
    )
    with c2pa.Reader(kind, io.BytesIO(forged)) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_a_certificate_that_cannot_be_used_is_reported_at_the_start(
    certificate: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERPAINT_C2PA_CERTIFICATE", certificate["UNDERPAINT_C2PA_CERTIFICATE"])
    with pytest.raises(ValidationError, match="or neither"):
        MarkSettings()
    for wrong in (tmp_path / "missing.pem", Path(certificate["UNDERPAINT_C2PA_CERTIFICATE"])):
        monkeypatch.setenv("UNDERPAINT_C2PA_KEY", str(wrong))
        with pytest.raises(ValueError, match="the C2PA certificate and key cannot be used"):
            Marking(MarkSettings())
