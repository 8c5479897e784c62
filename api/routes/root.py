"""What is at ``/`` of a server without the page."""

from fastapi import APIRouter

from api.services import WithLinks
from api.version import VERSION

router = APIRouter()


@router.get("/", include_in_schema=False)
async def root(links: WithLinks) -> dict[str, str]:
    """Where to go from here."""
    return {"name": "Underpaint", "version": VERSION, "docs": links.docs(), "models": links.models()}
