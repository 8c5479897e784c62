"""What a job computes: a request with every default filled in."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Method = Literal["auto", "srds", "window", "serial"]
Wish = Literal["latency", "cost"]
MAX_SEED = 2**32 - 1


def _storable(text: str) -> str:
    # PostgreSQL stores neither in text or in jsonb.
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(_storable)]


class Generation(BaseModel):
    """A resolved request, as it is stored with the job and read by the worker.

    The bounds here hold for every model; what one model allows is checked by ``store.catalog``.
    Image ``n`` (from 0) starts from the noise of seed ``seed + n``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    model: str
    prompt: Text
    negative_prompt: Text = ""
    method: Method
    steps: int = Field(ge=1)
    """Steps of the serial sampler, N."""
    guidance_scale: float = Field(ge=1)
    """Classifier-free guidance; 1 means none."""
    width: int = Field(ge=1)
    """Width of the picture in pixels."""
    height: int = Field(ge=1)
    """Height of the picture in pixels."""
    seed: int = Field(ge=0, le=MAX_SEED)
    images: int = Field(ge=1)
    blocks: int | None = Field(default=None, ge=1)
    """Blocks that cut the grid; None lets the planner choose."""
    tolerance: float = Field(ge=0, le=1)
    """Stop at this residual; 0 goes on until the iterate is exact."""
    max_iterations: int | None = Field(default=None, ge=0)
    """Stop after this iterate; 0 is the coarse solution, a draft."""
    wish: Wish = "latency"
    """What method auto is to save: time, or evaluations."""
    previews: bool = True
    """Whether the pictures of iterates before the last are decoded and kept; without, method auto computes none."""

    @model_validator(mode="after")
    def _seeds_fit(self) -> Self:
        if self.seed + self.images - 1 > MAX_SEED:
            raise ValueError(f"seed must be at most {MAX_SEED + 1 - self.images} for {self.images} images")
        return self

    @property
    def windowed(self) -> bool:
        """Whether this may be sampled through the window, which knows neither blocks nor a number of iterates.

        With method auto and tolerance 0 it is SRDS where the worker's rounds have room.
        """
        free = self.blocks is None and self.max_iterations is None
        return self.method == "window" or (self.method == "auto" and free)

    def seed_of(self, image: int) -> int:
        """The seed of image ``image``, counted from 0."""
        return self.seed + image
