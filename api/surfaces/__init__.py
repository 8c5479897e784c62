"""All surfaces. A new one is a folder here and a line in the list."""

from api.surface import Surfaces
from api.surfaces import mcp, models, native, openai, operations, page, sdapi

SURFACES = Surfaces(
    native.SURFACE, openai.SURFACE, sdapi.SURFACE, mcp.SURFACE, models.SURFACE, operations.SURFACE, page.SURFACE
)
