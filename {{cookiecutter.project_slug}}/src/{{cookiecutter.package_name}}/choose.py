"""Choose the version that scores: by number, by a tag, or the champion. A blank, as pipelines pass it, is no choice."""

import argparse

from mlflow import MlflowClient

from . import registry
from .pipeline import add_values, flag
from .program import UserError
from .registry import WITHDRAWN, Version

CHOICE = {
    "model_version": "number of the version",
    "model_tag_name": "name of a tag: the newest version in service with model_tag_value",
    "model_tag_value": "value of that tag",
}


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Give a parser the flags of a choice."""
    add_values(parser, ("model_name",))
    for name, told in CHOICE.items():
        parser.add_argument(flag(name), default="", type=str.strip, help=f"{told} (the champion)")


def choose(client: MlflowClient, chosen: argparse.Namespace) -> Version:
    """Return the version that the flags choose."""
    name, number, tag, value = chosen.model_name, chosen.model_version, chosen.model_tag_name, chosen.model_tag_value
    if bool(tag) != bool(value):
        given, absent = ("model_tag_name", "model_tag_value") if tag else ("model_tag_value", "model_tag_name")
        raise UserError(f"{given} is {tag or value!r}, but {absent} is blank: give both, or neither.")
    if number and tag:
        raise UserError(f"model_version is {number}, and model_tag_name is {tag!r}: give one of them.")
    if number:
        if not number.isdecimal():
            raise UserError(f"model_version is {number!r}: it must be the number of a version, or blank.")
        version = registry.numbered(client, name, int(number))
        if since := version.tags.get(WITHDRAWN):
            raise UserError(f"{version} is withdrawn since {since}: choose another one, or none for the champion.")
        return version
    in_service = (version for version in registry.versions(client, name) if WITHDRAWN not in version.tags)
    found = next((version for version in in_service if not tag or version.tags.get(tag) == value), None)
    if found is None:
        if tag:
            raise UserError(f"Model {name} has no version with the tag {tag} = {value} in service: give one that has.")
        raise UserError(f"Model {name} has no version in service: `make run` trains and registers one.")
    return found
