"""`python -m tasks.pull ID`: fetches the files of a model from the hub, for `underpaint models pull`."""

import sys

from sampler import UnsupportedModel
from sampler.models.source import locate
from store.catalog import load_catalog
from store.settings import CatalogSettings
from tasks.devices import allowed_of, source_of


def main(name: str) -> None:
    """Download what is missing; the libraries show how far they are."""
    source = source_of(load_catalog(CatalogSettings().catalog)[name])
    try:
        locate(source, allowed_of(source))
    except UnsupportedModel as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main(sys.argv[1])
