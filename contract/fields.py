"""The table of request fields: ``Generation`` is what a job computes, ``Handling`` how it is run and reported.

``Request`` lists the same fields for callers in Python; a test holds them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TypedDict

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

from contract.annotations import MODEL, RequestField, Text, whole
from contract.methods import METHODS
from contract.words import EventKind, Method, Priority, Solver, Wish

MAX_SEED = 2**32 - 1
LONGEST_DEADLINE = 7 * 86400
LONGEST_URL = 2048
MOST_LORAS, LARGEST_SCALE = 8, 10.0

# Kinds of model for which diffusers has a pipeline that begins with a picture, and those that are made to fill a part
# of one.
FROM_PICTURES = (
    "ChromaPipeline",
    "FluxPipeline",
    "IFPipeline",
    "Kandinsky3Pipeline",
    "QwenImagePipeline",
    "StableDiffusion3PAGPipeline",
    "StableDiffusion3Pipeline",
    "StableDiffusionPAGPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLPAGPipeline",
    "StableDiffusionXLPipeline",
    "ZImagePipeline",
)
FILLING = ("FluxFillPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
MOST_REFERENCES = 10
# And those that look at pictures while they make another one, with the most that they look at.
LOOKING = {"Flux2KleinPipeline": MOST_REFERENCES, "Flux2Pipeline": MOST_REFERENCES, "FluxKontextPipeline": 1}
# What is kept of a picture if the request does not say.
STRENGTH, STRENGTH_OF_MASK = 0.6, 1.0


class LoraScale(BaseModel):
    """One of the model's LoRA, and how strongly it takes part."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: Annotated[
        Text,
        Field(min_length=1),
        RequestField(
            help="One of those of the model.",
            description="One of those that `GET /v1/models` lists for the model.",
            not_blank="name one of the model's LoRA",
        ),
    ]
    scale: Annotated[
        float,
        Field(ge=-LARGEST_SCALE, le=LARGEST_SCALE),
        RequestField(
            help="How strongly it takes part.",
            description="How strongly it takes part: 1 as it was trained, 0 not at all; below 0 it does the opposite.",
        ),
    ] = 1.0


class Generation(BaseModel):
    """A resolved request, as it is stored with the job and read by the worker.

    The bounds here hold for every model; what one model allows is checked by ``contract.resolve``.
    Image ``n`` (from 0) starts from the noise of seed ``seed + n``.
    """

    # A field that is added needs a default here: jobs of older versions are stored without it.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    model: Annotated[
        str,
        RequestField(
            help="One of those that the server offers.",
            description="The id of a model; by default the first one of `GET /v1/models`. Other defaults and limits "
            "are its own.",
        ),
    ]
    prompt: Annotated[
        Text,
        RequestField(
            help="What the picture shows.",
            description="What the picture shows.",
            max_length="max_prompt_characters",
            not_blank="say what the picture shows",
        ),
    ]
    negative_prompt: Annotated[
        Text,
        RequestField(
            label="Not in the picture",
            help="What the picture should not show.",
            description="What the picture does not show.",
            max_length="max_prompt_characters",
            default=MODEL,
        ),
    ] = ""
    method: Annotated[
        Method,
        RequestField(
            label="Method",
            help="; ".join(f"{row.title} {row.summary}" for row in METHODS.values()) + ".",
            description="; ".join(f"`{name}` {row.description}" for name, row in METHODS.items()) + ". `auto` chooses "
            "among them, and how wide, by what a model call costs where the job runs: it is the fastest, but the same "
            "seed gives the same picture within the tolerance only.",
            options={"auto": "Automatic", **{name: row.title for name, row in METHODS.items()}},
            default=MODEL,
        ),
    ]
    steps: Annotated[
        int,
        Field(ge=1),
        RequestField(
            label="Steps",
            help="Steps of the serial sampler. More make a better picture.",
            description="Steps of the serial sampler. More steps make a better picture, and save more by running in "
            "parallel.",
            minimum="min_steps",
            maximum="max_steps",
            default=MODEL,
        ),
    ]
    solver: Annotated[
        Solver | None,
        RequestField(
            label="Solver",
            help="The numerical method that takes the steps. By default the model's own.",
            description="The numerical method that takes the steps: `ddim`, `euler`, `heun` (second order, two model "
            "calls for each step but the last), `dpm++` (DPM-Solver++ 2M), `unipc` (UniPC of order 2) or `ddpm` (adds "
            "noise in every step, fixed by the seed). Models trained by flow matching take `euler`, `heun`, `dpm++` "
            "and `unipc`. Every method samples with every solver. By default that of the model's own scheduler.",
            options={
                "ddim": "DDIM",
                "euler": "Euler",
                "heun": "Heun",
                "dpm++": "DPM-Solver++",
                "unipc": "UniPC",
                "ddpm": "DDPM",
            },
            placeholder="the model's own",
            not_for_flow=("ddim", "ddpm"),
        ),
    ] = None
    eta: Annotated[
        float,
        Field(ge=0, le=1),
        RequestField(
            label="Eta",
            help="How much noise solver ddim adds: 0 none, 1 as much as ddpm.",
            description="How much noise solver `ddim` adds in every step, fixed by the seed: 0 is deterministic, 1 "
            "adds as much as `ddpm`. Other solvers do not take it.",
            only_with={"solver": "ddim"},
        ),
    ] = 0.0
    guidance_scale: Annotated[
        float,
        Field(ge=1),
        RequestField(
            label="Guidance",
            help="How closely the picture keeps to the prompt; 1 is none.",
            description="How closely the picture keeps to the prompt (classifier-free guidance); 1 means no guidance.",
            maximum="max_guidance_scale",
            default=MODEL,
        ),
    ]
    guidance_rescale: Annotated[
        float,
        Field(ge=0, le=1),
        RequestField(
            label="Guidance rescale",
            help="Keeps strong guidance from overexposing the picture; 0 is off.",
            description="Brings the contrast of the guided output back to that of the unguided one, which strong "
            "guidance raises: 0 is off, 1 rescales fully. Stable Diffusion and Stable Diffusion XL take it.",
            of_pipeline=True,
        ),
    ] = 0.0
    true_cfg_scale: Annotated[
        float,
        Field(ge=1),
        RequestField(
            label="True guidance",
            help="Classifier-free guidance against the negative prompt, beside the model's own; 1 is none.",
            description="Classifier-free guidance against `negative_prompt`, for models whose `guidance_scale` is an "
            "input of the network; 1 means none, more takes twice the computation. Flux and Qwen-Image take it.",
            maximum="max_guidance_scale",
            of_pipeline=True,
        ),
    ] = 1.0
    width: Annotated[
        int,
        Field(ge=1),
        RequestField(
            label="Width",
            help="Pixels.",
            description="Width of the picture in pixels.",
            unit="pixels",
            minimum="min_size",
            maximum="max_size",
            multiple_of="multiple_of",
            default=MODEL,
        ),
    ]
    height: Annotated[
        int,
        Field(ge=1),
        RequestField(
            label="Height",
            help="Pixels.",
            description="Height of the picture in pixels.",
            unit="pixels",
            minimum="min_size",
            maximum="max_size",
            multiple_of="multiple_of",
            default=MODEL,
        ),
    ]
    image: Annotated[
        Text | None,
        RequestField(
            help="A picture to begin with: a file, or the id of an upload.",
            description="A picture to begin with, which `strength` says how much to change: the `id` of an upload "
            "(`POST /v1/uploads`), the address of a picture of a job (`/v1/jobs/ID/images/0/iterates/latest`), or a "
            "small PNG, JPEG or WebP as a data URL (`data:image/png;base64,...`). It is scaled to `width` and "
            "`height`, and cut where it is longer; by default the job has its shape. A job keeps what it starts from, "
            "and shows it by its id.",
            kinds=(*FROM_PICTURES, *FILLING),
        ),
    ] = None
    mask: Annotated[
        Text | None,
        RequestField(
            help="Where the picture is painted anew: white in this one. The rest is kept.",
            description="Which part of `image` is painted anew: a picture of the same size, white there and black "
            "where the picture is kept, or transparent there and opaque elsewhere. Given as `image` is.",
            kinds=(*FROM_PICTURES, *FILLING),
        ),
    ] = None
    strength: Annotated[
        float | None,
        Field(gt=0, le=1),
        RequestField(
            label="Strength",
            help=f"How much of the image changes: {STRENGTH:g} if left out, or {STRENGTH_OF_MASK:g} with a mask.",
            description=f"How much of `image` may change: the share of the steps that run, from the noise that belongs "
            f"there. 1 keeps next to nothing. By default {STRENGTH:g}, and {STRENGTH_OF_MASK:g} with a `mask`.",
            kinds=(*FROM_PICTURES, *FILLING),
        ),
    ] = None
    references: Annotated[
        list[Text],
        Field(max_length=MOST_REFERENCES),
        RequestField(
            help="A picture to look at: a file, or the id of an upload. May be given several times.",
            description="Pictures that the model looks at while it paints another one, as the prompt says: what to "
            "edit, to combine, or to take a style or a person from. Each is given as `image` is, in any size and "
            "order; by default the job has the shape of the first.",
            kinds=tuple(LOOKING),
        ),
    ] = []
    seed: Annotated[
        int,
        Field(ge=0, le=MAX_SEED),
        RequestField(
            label="Seed",
            help="The same seed gives the same picture; each further image takes the next seed. By default a new one.",
            description="The noise to start from: image n starts from `seed + n`. The same seed gives the same "
            "picture. By default one is drawn.",
            placeholder="random",
        ),
    ]
    images: Annotated[
        int,
        Field(ge=1),
        RequestField(
            label="Images",
            help="How many pictures to make.",
            description="How many pictures to make.",
            maximum="max_images",
            default=1,
        ),
    ]
    blocks: Annotated[
        int | None,
        Field(ge=1),
        RequestField(
            label="Blocks",
            help="How many blocks cut the steps. By default the planner chooses.",
            description="How many blocks cut the steps; at most as many as there are steps. By default the planner "
            "chooses.",
            maximum="max_steps",
            placeholder="planned",
        ),
    ] = None
    tolerance: Annotated[
        float,
        Field(ge=0, le=1),
        RequestField(
            label="Tolerance",
            help="Stop when the estimated error against the serial picture is at most this. 0: exactly that picture.",
            description="The estimated relative RMS error of the final latents against the serial N-step sampler's at "
            "which the image counts as finished. 0 goes on until the picture is exactly that of the serial sampler.",
            default=MODEL,
            unused=0.0,
        ),
    ]
    max_iterations: Annotated[
        int | None,
        Field(ge=0),
        RequestField(
            label="Iterates at most",
            help="Stop at this iterate at the latest; 0 makes a draft. By default only the tolerance stops.",
            description="Stop after this many iterates; 0 makes a draft, the roughest picture, at the least cost. By "
            "default only `tolerance` stops. A finished job can be refined later.",
            maximum="max_steps",
            placeholder="no limit",
        ),
    ] = None
    wish: Annotated[
        Wish,
        RequestField(
            help="What method auto saves: latency, or cost.",
            description="What method `auto` saves: `latency` finishes each picture as soon as possible; `cost` takes "
            "hardly more evaluations than the serial sampler, so that a busy server finishes more of them.",
            options={"latency": "Latency", "cost": "Cost"},
        ),
    ] = "latency"
    loras: Annotated[
        list[LoraScale],
        Field(max_length=MOST_LORAS),
        RequestField(
            help="LoRA to change the model with: NAME or NAME:SCALE.",
            description="LoRA (small changes to a model's weights: a style, a subject) that the picture is made with, "
            "each with its name and `scale`. Jobs with the same ones share model calls.",
        ),
    ] = []
    previews: Annotated[
        bool,
        RequestField(
            help="Make and keep the picture of every iterate, or of the last one only.",
            description="Whether the pictures of iterates before the last are made and kept. Without them method "
            "`auto` computes nothing for their sake.",
        ),
    ] = True

    @property
    def steps_run(self) -> int:
        """How many of the steps run: those that the strength of a picture leaves."""
        return self.steps if self.image is None else int(self.steps * (self.strength or 1) + 1e-9)

    @model_validator(mode="after")
    def _seeds_fit(self) -> Self:
        if self.seed + self.images - 1 > MAX_SEED:
            raise ValueError(f"seed must be at most {MAX_SEED + 1 - self.images} for {self.images} images")
        return self

    def seed_of(self, image: int) -> int:
        """The seed of image ``image``, counted from 0."""
        return self.seed + image


class Webhook(BaseModel):
    """Where events are sent, and which. The signature follows Standard Webhooks."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: Annotated[
        Text,
        Field(min_length=1, max_length=LONGEST_URL),
        RequestField(
            help="An https URL on the public internet.",
            description="An https URL on the public internet, without credentials and fragment. The server's settings "
            "may allow others.",
            pattern=r"^https?://[a-zA-Z0-9\[][^@#\s\\]*$",
        ),
    ]
    events: Annotated[
        list[EventKind],
        RequestField(
            help="Which events are sent.",
            description="Which events are sent: `done` when the job has ended, `iterate` with every picture, `state` "
            "with every other change.",
        ),
    ] = ["done"]

    @field_validator("events")
    @classmethod
    def _some_once(cls, events: list[EventKind]) -> list[EventKind]:
        if not events or len(set(events)) < len(events):
            raise ValueError("must name at least one kind of event, and each once")
        return events


class StoredWebhook(Webhook):
    """A webhook as it is kept with its job."""

    base: str
    """The address that the client sent the job to: the links in events begin with it."""
    disabled: str | None = None
    """Why nothing is sent any more; None while it is."""


class Handling(BaseModel):
    """How a job is handled: nothing here changes a picture."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    priority: Annotated[
        Priority,
        RequestField(
            help="Whose turn it is among the jobs of one key: low, normal or high.",
            description="Whose turn it is among the jobs of one key, or of all clients without one: a `high` job goes "
            "before `normal` ones that were accepted up to 10 minutes earlier, a `low` one after those accepted up to "
            "10 minutes later. None waits for ever.",
            options={"low": "Low", "normal": "Normal", "high": "High"},
        ),
    ] = "normal"
    deadline_seconds: Annotated[
        float | None,
        Field(gt=0, le=LONGEST_DEADLINE),
        RequestField(
            help="A job that has not ended by then fails, and keeps its pictures.",
            description="A job that has not ended this many seconds after it was accepted fails within a few seconds, "
            "whether it waits or runs, with `failure` as `deadline`. The pictures that it has by then stay readable. "
            "To keep the newest iterate as the result, accept the job before that. By default a job has no deadline.",
            unit="seconds",
        ),
    ] = None
    webhook: Annotated[
        Webhook | None,
        RequestField(
            help="Where the job's events are sent.",
            description="Where the job's events are sent: each is a POST, signed as Standard Webhooks says, and tried "
            "again until it is answered with 2xx.",
        ),
    ] = None


class Saves(Protocol):
    """An image of Pillow, which need not be installed."""

    def save(self, fp: Any, format: str | None = None) -> None: ...


Sendable = Path | bytes | Saves
"""A picture that a caller in Python has: a file, the bytes of one, or an image of Pillow."""


class Request(TypedDict, total=False):
    """What a job may ask for beside its prompt. The model decides what is left out, or None. A picture may be a text,
    as in the API, or be sent."""

    model: str | None
    negative_prompt: str | None
    method: Method | None
    steps: int | None
    solver: Solver | None
    eta: float | None
    guidance_scale: float | None
    guidance_rescale: float | None
    true_cfg_scale: float | None
    width: int | None
    height: int | None
    image: str | Sendable | None
    mask: str | Sendable | None
    strength: float | None
    references: Sequence[str | Sendable] | None
    seed: int | None
    images: int | None
    blocks: int | None
    tolerance: float | None
    max_iterations: int | None
    wish: Wish | None
    loras: list[dict[str, Any]] | None
    previews: bool | None
    priority: Priority | None
    deadline_seconds: float | None
    webhook: dict[str, Any] | None


class RefineRequest(BaseModel):
    """How far to go on. What is left out, or null, does not stop the job before its own tolerance is reached."""

    model_config = ConfigDict(extra="forbid")

    tolerance: Annotated[StrictFloat, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Stop when the estimated error is at most this; 0 goes on until the picture is exact. By default "
        "that of the job.",
        examples=[0.001],
    )
    max_iterations: Annotated[StrictInt, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)] | None = Field(
        default=None,
        description="Stop after this many iterates, with those that are there. By default without limit.",
    )


class Defaults(BaseModel):
    """What a request gets that leaves a field out. ``width`` and ``height`` are pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "auto"
    steps: PositiveInt
    guidance_scale: float
    width: PositiveInt
    height: PositiveInt
    tolerance: float
    negative_prompt: str = ""


class Limits(BaseModel):
    """What a request may ask for. Sizes are pixels and hold for width and height."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_steps: PositiveInt = 1
    max_steps: PositiveInt
    min_size: PositiveInt
    max_size: PositiveInt
    multiple_of: PositiveInt
    max_guidance_scale: float = Field(ge=1)
    max_images: PositiveInt
    max_prompt_characters: PositiveInt = 32_000
    """By default as many as OpenAI takes. What the text encoder does not take is cut, with a warning."""


@dataclass(frozen=True)
class Terms:
    """What one model gives and allows.

    Attributes:
        model: its id.
        kind: the class of its diffusers pipeline, as its ``model_index.json`` names it; None if it is not known.
        loras: the names of its LoRA.
        arguments: those that its pipeline takes; None if they are not known: then no field is refused for them.
        flow: whether it is trained by flow matching; None if that is not known.
    """

    model: str
    kind: str | None
    defaults: Defaults
    limits: Limits
    loras: tuple[str, ...] = ()
    arguments: frozenset[str] | None = None
    flow: bool | None = None
