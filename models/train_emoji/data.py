"""Pictures and captions, read from two unpacked npm packages, and the variations of captions in training."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIZE = 64
CAPTIONED = {"Animals & Nature", "Food & Drink", "Smileys & Emotion", "Travel & Places", "Activities", "Objects"}
"""Categories whose pictures the denoiser learns: things that a name describes. The autoencoder sees the rest too."""

PHRASES = ("{}", "a {}", "an {}", "the {}", "one {}", "a picture of a {}", "an emoji of a {}", "{} emoji", "a small {}")


@dataclass(frozen=True)
class Emoji:
    """``pictures`` (n, 3, 64, 64), float32 in [-1, 1], on white, and the ``names`` of each, the usual one first."""

    pictures: torch.Tensor
    names: list[list[str]]
    captioned: list[bool]

    def described(self) -> "Emoji":
        """Only the pictures of the captioned categories."""
        return self._only([i for i, yes in enumerate(self.captioned) if yes])

    def every(self, nth: int) -> "Emoji":
        """Each ``nth`` picture: enough to see at a checkpoint how training goes."""
        return self._only(list(range(0, len(self.names), nth)))

    def _only(self, keep: list[int]) -> "Emoji":
        return Emoji(self.pictures[keep], [self.names[i] for i in keep], [self.captioned[i] for i in keep])


def load_emoji(emoji: Path, keywords: Path) -> Emoji:
    """Read the unpacked packages emoji-datasource-google (``emoji``) and emojilib (``keywords``).

    Flags, skin tones, keycaps and families are left out: their pictures differ by details that 64 pixels do not show.
    Raises FileNotFoundError if a folder is not such a package.
    """
    known = json.loads((keywords / "dist/emoji-en-US.json").read_text(encoding="utf-8"))
    pictures: list[np.ndarray] = []
    names: list[list[str]] = []
    captioned: list[bool] = []
    for entry in json.loads((emoji / "emoji.json").read_text(encoding="utf-8")):
        if not entry["has_img_google"] or entry["category"] in ("Flags", "Component"):
            continue
        if entry["subcategory"] in ("keycap", "family"):
            continue
        pictures.append(_on_white(emoji / "img/google/64" / entry["image"]))
        names.append(_names(entry, known))
        captioned.append(entry["category"] in CAPTIONED)
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return Emoji(stacked.float() / 127.5 - 1, names, captioned)


def caption(names: list[str], choose: random.Random) -> str:
    """One training caption: mostly the usual name, bare or in a phrase; sometimes another name, or a few keywords.

    One in ten is empty, which is what classifier-free guidance needs.
    """
    r = choose.random()
    if r < 0.10:
        return ""
    if r < 0.50:
        return names[0]
    if r < 0.75:
        return choose.choice(PHRASES).format(names[0])
    if r < 0.90:
        return choose.choice(names)
    return " ".join(choose.sample(names, min(len(names), choose.randint(1, 3))))


def _on_white(path: Path) -> np.ndarray:
    picture = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    white.alpha_composite(picture)
    return np.asarray(white.convert("RGB").resize((SIZE, SIZE)))


def _names(entry: dict[str, str], known: dict[str, list[str]]) -> list[str]:
    symbol = "".join(chr(int(code, 16)) for code in entry["unified"].split("-"))
    keywords = known.get(symbol) or known.get(symbol.replace("\ufe0f", "")) or []
    words = [word.replace("_", " ") for word in keywords if word.replace("_", "").isalpha()]
    short = entry["short_name"].replace("_", " ").replace("-", " ")
    name = (entry["name"] or short).lower().replace("-", " ").replace("_", " ")
    return [words[0] if words else name, name, short, *words[1:]]
