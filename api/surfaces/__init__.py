"""All surfaces. A new one is a folder here and a line in the list."""

from api.surface import Surfaces
from api.surfaces import models, native, openai, operations, page

SURFACES = Surfaces(native.SURFACE, openai.SURFACE, models.SURFACE, operations.SURFACE, page.SURFACE)
