"""Train, measure or show the shipped model: ``python -m models.train_emoji --help``."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from models.train_emoji.autoencoder import reconstruction_psnr, train_autoencoder, train_decoder
from models.train_emoji.data import load_emoji
from models.train_emoji.denoiser import denoiser_loss, train_denoiser
from models.train_emoji.fit import Budget
from models.train_emoji.pipeline import load_pipeline, new_pipeline, save_pipeline
from models.train_emoji.samples import PROMPTS, draw_samples


def train(args: argparse.Namespace) -> None:
    """Run the stages that have a budget, in the order autoencoder, decoder, denoiser; save at each checkpoint."""
    torch.manual_seed(args.seed)
    emoji = load_emoji(args.emoji, args.keywords)
    described = emoji.described()
    if args.resume:
        pipeline = load_pipeline(args.resume)
    else:
        pipeline = new_pipeline([name for names in described.names for name in names])

    some = described.every(8)
    size = (args.batch,) if args.batch else ()

    def saved_with(figure: str, measure: Callable[[], float]) -> Callable[[str], None]:
        def checkpoint(progress: str) -> None:
            print(f"{progress}, {figure} {measure():.4f}", flush=True)
            save_pipeline(pipeline, args.out)

        return checkpoint

    psnr = saved_with("reconstruction dB", lambda: reconstruction_psnr(pipeline.vae, some.pictures))
    velocity = saved_with("velocity error", lambda: denoiser_loss(pipeline, some))
    if args.autoencoder:
        train_autoencoder(pipeline.vae, emoji.pictures, args.autoencoder, psnr, args.every, *size)
    if args.decoder:
        train_decoder(pipeline.vae, described.pictures, args.decoder, psnr, args.every, *size)
    if args.denoiser:
        train_denoiser(pipeline, described, args.denoiser, args.seed, velocity, args.every, *size)


def measure(args: argparse.Namespace) -> None:
    """Print the figures of a pipeline that the model card gives."""
    pipeline = load_pipeline(args.pipeline)
    described = load_emoji(args.emoji, args.keywords).described()
    print(f"pictures {len(described.pictures)}")
    print(f"reconstruction {reconstruction_psnr(pipeline.vae, described.pictures):.2f} dB")
    print(f"velocity error {denoiser_loss(pipeline, described):.4f}")


def samples(args: argparse.Namespace) -> None:
    """Draw the samples picture."""
    draw_samples(load_pipeline(args.pipeline), args.picture, tuple(args.prompts), args.guidance, args.seed)


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m models.train_emoji", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads for torch")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("train", help=train.__doc__)
    command.set_defaults(run=train)
    _add_data(command)
    command.add_argument("out", type=Path, help="folder for the pipeline; replaced at each checkpoint")
    command.add_argument("--resume", type=Path, help="pipeline folder to go on from; without it all weights are new")
    for stage in ("autoencoder", "decoder", "denoiser"):
        command.add_argument(f"--{stage}", type=Budget.parse, metavar="70m|2000", help="minutes or steps; none: skip")
    command.add_argument("--batch", type=int, help="pictures a step; by default each stage has its own")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--every", type=float, default=5.0, help="minutes between checkpoints")

    command = commands.add_parser("measure", help=measure.__doc__)
    command.set_defaults(run=measure)
    command.add_argument("pipeline", type=Path)
    _add_data(command)

    command = commands.add_parser("samples", help=samples.__doc__)
    command.set_defaults(run=samples)
    command.add_argument("pipeline", type=Path)
    command.add_argument("picture", type=Path)
    command.add_argument("--prompts", nargs="+", default=PROMPTS)
    command.add_argument("--guidance", type=float, nargs="+", default=[1.0, 3.0, 6.0])
    command.add_argument("--seed", type=int, default=0)

    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.run(args)


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("emoji", type=Path, help="unpacked npm package emoji-datasource-google")
    command.add_argument("keywords", type=Path, help="unpacked npm package emojilib")


if __name__ == "__main__":
    main()
