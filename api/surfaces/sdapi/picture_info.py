"""What a picture says about how it was made."""

from base64 import b64decode
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Depends

from api.http.body import JsonBody, is_json
from contract import infotext
from contract.problems import Code, FieldProblem, InvalidFields
from store.pictures import marks

MAX_BODY_BYTES = 16 * 2**20

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


@router.post("/png-info", dependencies=[Depends(is_json)])
async def png_info(body: JsonBody) -> dict[str, Any]:
    """The parameters in a picture, in base64, as text and as pairs."""
    try:
        data = b64decode(str(body.get("image") or "").rpartition(",")[2], validate=True)
        text = (await anyio.to_thread.run_sync(marks.read, data)).text
    except ValueError:
        raise InvalidFields([FieldProblem("image", Code.VALUE, "must be a picture in base64")]) from None
    parameters = infotext.read(text) if text else {}
    return {"info": text, "items": {"parameters": text} if text else {}, "parameters": parameters}
