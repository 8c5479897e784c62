"""What a job's request may hold, as JSON Schema with the limits of the models on offer.

It documents: the request itself is checked by ``store.catalog``, which knows the limits of the model that it names and
reports all faults at once. Here a limit is the widest of all models.
"""

from collections.abc import Callable
from math import gcd
from typing import Any, get_args

from store.catalog import Catalog
from store.generation import MAX_SEED, Method, Wish
from store.handling import LONGEST_DEADLINE, LONGEST_URL
from store.resolve import Limits
from store.tables import EventKind, Priority

NAME = "JobRequest"


def request_schema(catalog: Catalog) -> dict[str, Any]:
    """The schema of the body of ``POST /v1/jobs``."""
    defaults = catalog.default.defaults

    def widest(pick: Callable[..., float], read: Callable[[Limits], float]) -> float:
        return pick(read(card.limits) for card in catalog.values())

    characters = widest(max, lambda limits: limits.max_prompt_characters)
    steps = widest(max, lambda limits: limits.max_steps)
    side = {
        "minimum": widest(min, lambda limits: limits.min_size),
        "maximum": widest(max, lambda limits: limits.max_size),
        "multipleOf": gcd(*(card.limits.multiple_of for card in catalog.values())),
    }
    properties = {
        "prompt": {
            "type": "string",
            "description": "What the picture shows.",
            "minLength": 1,
            "maxLength": characters,
            "pattern": r"^[^\u0000]*[^\s\u0000\u001c-\u001f][^\u0000]*$",
        },
        "model": _field(
            "string",
            "The id of a model; by default the first one of `GET /v1/models`. Other defaults and limits are its own.",
            default=catalog.default.id,
            enum=[*catalog, None],
        ),
        "negative_prompt": _field(
            "string",
            "What the picture does not show.",
            default=defaults.negative_prompt,
            maxLength=characters,
            pattern=r"^[^\u0000]*$",
        ),
        "method": _field(
            "string",
            "`srds` refines all of the picture's blocks in parallel and gives a whole picture with every iterate; "
            "`window` slides along the steps, in fewer rounds and evaluations, and takes no `blocks` or "
            "`max_iterations`; `serial` is the plain sampler, which takes no `tolerance` either. `auto` chooses among "
            "them, and how wide, by what a network call costs where the job runs: it is the fastest, but the same seed "
            "gives the same picture within the tolerance only.",
            default=defaults.method,
            enum=[*get_args(Method), None],
        ),
        "steps": _field(
            "integer",
            "Steps of the serial sampler. More steps make a better picture, and save more by running in parallel.",
            default=defaults.steps,
            minimum=widest(min, lambda limits: limits.min_steps),
            maximum=steps,
        ),
        "guidance_scale": _field(
            "number",
            "How closely the picture keeps to the prompt (classifier-free guidance); 1 means no guidance.",
            default=defaults.guidance_scale,
            minimum=1,
            maximum=widest(max, lambda limits: limits.max_guidance_scale),
        ),
        "width": _field("integer", "Width of the picture in pixels.", default=defaults.width, **side),
        "height": _field("integer", "Height of the picture in pixels.", default=defaults.height, **side),
        "seed": _field(
            "integer",
            "The noise to start from: image n starts from `seed + n`. The same seed gives the same picture. By default "
            "one is drawn.",
            minimum=0,
            maximum=MAX_SEED,
        ),
        "images": _field(
            "integer",
            "How many pictures to make.",
            default=1,
            minimum=1,
            maximum=widest(max, lambda limits: limits.max_images),
        ),
        "blocks": _field(
            "integer",
            "How many blocks cut the steps; at most as many as there are steps. By default the planner chooses.",
            minimum=1,
            maximum=steps,
        ),
        "tolerance": _field(
            "number",
            "0 goes on until the picture is exactly that of the serial sampler. Otherwise, with `srds`, stop when the "
            "residual is at most this: how far an iterate moved from the one before, relative to its size. With "
            "`window`, how far a step may have been evaluated from where it came to lie, relative to the noise there.",
            default=defaults.tolerance,
            minimum=0,
            maximum=1,
        ),
        "max_iterations": _field(
            "integer",
            "Stop after this many iterates; 0 makes a draft, the roughest picture, at the least cost. By default only "
            "`tolerance` stops. A finished job can be refined later.",
            minimum=0,
            maximum=steps,
        ),
        "wish": _field(
            "string",
            "What method `auto` is to save: `latency` finishes each picture as soon as can be; `cost` takes hardly "
            "more evaluations than the serial sampler, so that a busy server finishes more of them.",
            default="latency",
            enum=[*get_args(Wish), None],
        ),
        "previews": _field(
            "boolean",
            "Whether the pictures of iterates before the last are made and kept. Without them method `auto` computes "
            "nothing for their sake.",
            default=True,
        ),
        "priority": _field(
            "string",
            "Whose turn it is among the jobs of one key, or of all clients without one: a `high` job goes before "
            "`normal` ones that were accepted up to 10 minutes earlier, a `low` one after those accepted up to 10 "
            "minutes later. None waits for ever.",
            default="normal",
            enum=[*get_args(Priority), None],
        ),
        "deadline_seconds": _field(
            "number",
            "A job that has not ended so many seconds after it was accepted fails within a few seconds, whether it "
            "waits or runs, with `failure` as `deadline`. The pictures that it has by then stay readable. To keep the "
            "newest iterate as the result, accept the job before that. By default a job has no deadline.",
            exclusiveMinimum=0,
            maximum=LONGEST_DEADLINE,
        ),
    }
    properties["webhook"] = _field(
        "object",
        "Who is told what happens to the job: each event is sent as a POST, signed as Standard Webhooks says, and "
        "tried again until it is answered with 2xx.",
        required=["url"],
        additionalProperties=False,
        properties={
            "url": {
                "type": "string",
                "description": "An https URL on the public internet, without credentials and fragment. The server's "
                "settings may allow others.",
                "minLength": 1,
                "maxLength": LONGEST_URL,
                "pattern": r"^https?://[a-zA-Z0-9\[][^@#\s\\]*$",
            },
            "events": {
                "type": "array",
                "description": "Which events are sent: `done` when the job has ended, `iterate` with every picture, "
                "`state` with every other change.",
                "items": {"type": "string", "enum": list(get_args(EventKind))},
                "minItems": 1,
                "uniqueItems": True,
                "default": ["done"],
            },
        },
    )
    return {
        "title": NAME,
        "type": "object",
        "description": "What to make. Only `prompt` is needed; null is the same as leaving a field out.",
        "required": ["prompt"],
        "additionalProperties": False,
        "properties": properties,
    }


def request_examples(catalog: Catalog) -> dict[str, Any]:
    """Requests to try, by name."""
    card = catalog.default
    prompt, other = card.example_prompts[0], card.example_prompts[-1]
    return {
        "prompt": {"summary": "Only a prompt", "value": {"prompt": prompt}},
        "series": {
            "summary": "Two pictures that can be made again, nearly exact",
            "value": {"prompt": other, "model": card.id, "seed": 7, "images": 2, "tolerance": 0.001},
        },
        "serial": {
            "summary": "The plain sampler, to compare with",
            "value": {"prompt": prompt, "method": "serial", "seed": 7},
        },
        "webhook": {
            "summary": "Tell a webhook of the end",
            "value": {"prompt": prompt, "webhook": {"url": "https://example.org/hook", "events": ["done"]}},
        },
    }


def _field(kind: str, description: str, **keywords: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description, **keywords}
