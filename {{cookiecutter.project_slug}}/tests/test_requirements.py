"""The locks, held against pyproject.toml and against one another."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
GROUPS: dict[str, list[Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]


def wanted(group: str) -> list[Requirement]:
    """Return what a group of pyproject.toml asks for, with the groups it includes."""
    found: list[Requirement] = []
    for item in GROUPS[group]:
        found += wanted(item["include-group"]) if isinstance(item, dict) else [Requirement(item)]
    return found


def pinned(group: str) -> dict[str, str]:
    """Return the version of each package in a lock, and make sure that it has hashes."""
    entries = (ROOT / "requirements" / f"{group}.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pins = {}
    for entry in entries:
        if entry and not entry.startswith((" ", "#")):
            text, *hashes = entry.split("--hash=")
            requirement = Requirement(text.strip())
            assert hashes, f"{group}: {requirement.name} has no hash"
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert canonicalize_name(requirement.name) not in pins, f"{group}: {requirement.name} has two versions"
            pins[canonicalize_name(requirement.name)] = specifier.version
    return pins


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_satisfies_its_group(group: str) -> None:
    pins = pinned(group)

    for requirement in wanted(group):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_each_lock_belongs_to_a_group() -> None:
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(GROUPS)


def test_a_package_has_one_version_everywhere_but_in_the_azure_cli_s_own_environment() -> None:
    everywhere = [item for group in GROUPS if group != "az" for item in pinned(group).items()]

    assert len(set(everywhere)) == len(dict(everywhere))


def test_scoring_needs_nothing_of_what_only_training_needs() -> None:
    scoring, training = ({canonicalize_name(item.name) for item in wanted(group)} for group in ("score", "train"))

    assert not (training - scoring) & pinned("score").keys()
