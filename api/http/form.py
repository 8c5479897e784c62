"""Multipart forms (RFC 7578) with files."""

from collections.abc import Collection
from typing import NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from contract.problems import Code, FieldProblem, InvalidFields

MOST_FIELDS = 100
MOST_BYTES_OF_A_FIELD = 2**20


class File(NamedTuple):
    """A part that is a file. ``media_type`` is what the client calls it, or empty."""

    data: bytes
    media_type: str


class Form(NamedTuple):
    """The parts of a form by name. ``files`` has those that may be files; a name may have several."""

    fields: dict[str, str]
    files: dict[str, list[File]]


def is_form(request: Request) -> bool:
    """Whether the body of a request says that it is a multipart form."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


async def read_form(request: Request, files: Collection[str], most: int) -> Form:
    """The parts of a form.

    Args:
        request: `is_form`.
        files: the names of parts that are files; a part that is called ``NAME[]`` counts as ``NAME``.
        most: files in all.

    Raises:
        InvalidFields: it cannot be read, or a part is there twice, or is no file and should be one.
    """
    try:
        parser = MultiPartParser(
            request.headers,
            request.stream(),
            max_files=most,
            max_fields=MOST_FIELDS,
            max_part_size=MOST_BYTES_OF_A_FIELD,
        )
        form = await parser.parse()
    except (MultiPartException, FormParserError, KeyError, ValueError) as error:
        reason = getattr(error, "message", None) or "its parts cannot be told apart"
        raise InvalidFields([FieldProblem("body", Code.VALUE, f"is no multipart form: {reason}")]) from error
    made = Form({}, {})
    problems: list[FieldProblem] = []
    try:
        for part, value in form.multi_items():
            name = part.removesuffix("[]")
            if isinstance(value, UploadFile):
                if name in files:
                    made.files.setdefault(name, []).append(File(await value.read(), value.content_type or ""))
                else:
                    problems.append(FieldProblem(part, Code.TYPE, "must be a text, and is a file"))
            elif name in files:
                problems.append(FieldProblem(name, Code.TYPE, "must be a file: give the part a filename"))
            elif name in made.fields:
                problems.append(FieldProblem(name, Code.VALUE, "is there twice: send it once"))
            else:
                made.fields[name] = value
    finally:
        await form.close()
    if problems:
        raise InvalidFields(problems)
    return made
