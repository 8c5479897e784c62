"""Draw the strip of previews in the README: `python -m benchmarks.strip docs/strip.png`.

Each row is one picture of the shipped model as its iterates arrive. Few blocks, so that one sees the difference: the
first picture is four network calls in.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from sampler import Iterate, Model, load_model, sample

SEED, STEPS, BLOCKS, GUIDANCE, CELL, LABEL = 4, 50, 4, 3.0, 150, 22


def row(model: Model, prompt: str) -> list[tuple[Image.Image, Iterate]]:
    """The iterates of one prompt, as pictures."""
    iterates = sample(
        model, prompt, guidance_scale=GUIDANCE, steps=STEPS, seed=SEED, height=64, width=64, blocks=BLOCKS, tolerance=0
    )
    return [(Image.fromarray(model.decode(iterate.sample[None])[0].numpy()), iterate) for iterate in iterates]


def draw(rows: list[list[tuple[Image.Image, Iterate]]]) -> Image.Image:
    """All rows below each other; the rounds that each column took above it."""
    strip = Image.new("RGB", (CELL * len(rows[0]), LABEL + CELL * len(rows)), "white")
    pen = ImageDraw.Draw(strip)
    for y, pictures in enumerate(rows):
        for x, (picture, iterate) in enumerate(pictures):
            large = picture.resize((CELL - 8, CELL - 8), Image.Resampling.LANCZOS)
            strip.paste(large, (x * CELL + 4, LABEL + y * CELL + 4))
            if y == 0:
                label = f"iterate {iterate.number}: {iterate.rounds} rounds"
                pen.text((x * CELL + CELL // 2, LABEL // 2), label, "#333", anchor="mm", font_size=13)
    return strip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompts", nargs="+", default=["red heart", "sunflower", "soccer ball"])
    arguments = parser.parse_args()
    model = load_model(Path(__file__).parents[1] / "models" / "emoji")
    draw([row(model, prompt) for prompt in arguments.prompts]).save(arguments.out)


if __name__ == "__main__":
    main()
