"""What gets into the scoring image, and what makes another image of it."""

import ast
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from deployment import registry
from deployment.image import build as image
from environment_setup.azure_cli import AzureError

SOURCES = Path("src") / image.PACKAGE


def imported(module: str) -> set[str]:
    """Return which modules of the package a module imports when it runs, not only for type checks."""
    found = {"__init__"}
    waiting: list[ast.AST] = [ast.parse((SOURCES / f"{module}.py").read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                waiting += node.orelse
                continue
            case ast.ImportFrom(module=None, level=1) | ast.ImportFrom(module=image.PACKAGE, level=0):
                found |= {name.name for name in node.names}
            case ast.ImportFrom(module=str(name), level=1):
                found.add(name.partition(".")[0])
            case ast.ImportFrom(module=str(name)) if name.startswith(f"{image.PACKAGE}."):
                found.add(name.split(".")[1])
            case ast.Import():
                names = (name.name.split(".") for name in node.names)
                found |= {parts[1] for parts in names if parts[0] == image.PACKAGE and parts[1:]}
        waiting += ast.iter_child_nodes(node)
    return {name for name in found if (SOURCES / f"{name}.py").exists()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of what an image is made of, with a model, as the working directory."""
    for path in ("deployment/image/Dockerfile", "requirements/score.txt", "src"):
        copy = shutil.copytree if Path(path).is_dir() else shutil.copy
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        copy(path, tmp_path / path)
    model = tmp_path / "outputs" / "serving" / "model"
    model.mkdir(parents=True)
    (model / "MLmodel").write_text("flavors: {}", encoding="utf-8")
    (model.parent / "model.json").write_text('{"name": "a-model", "version": 3}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def staged() -> str:
    return image.stage(Path("outputs/serving"))


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Return what a registry holds: repositories, their tags, and the digests that these name."""
    held: dict[str, dict[str, str]] = {}

    def az(*words: str) -> Any:
        if words == ("acr", "repository", "list", "--name", "r"):
            return list(held)
        assert words[:5] == ("acr", "repository", "show-tags", "--name", "r")
        assert words[-1] == "--detail"
        return [{"name": tag, "digest": digest} for tag, digest in held[words[6]].items()]

    monkeypatch.setattr(registry, "az", az)
    registry.tags.cache_clear()
    return held


@pytest.mark.parametrize(
    ("tags", "number"),
    [
        (["canary-15"], 15),
        (["canary-9", "canary-10", "canary-8", "web-app-12"], 10),
        (["canary-", "a-canary-15", "canary-15x", "15", "web-app-15"], 0),
        ([], 0),
    ],
)
def test_the_number_of_an_image_is_that_of_the_latest_build(
    held: dict[str, dict[str, str]], tags: list[str], number: int
) -> None:
    held["scoring"] = {"canary-99": "sha256:another", **dict.fromkeys(tags, "sha256:one")}

    assert registry.number("canary", "r.azurecr.io/scoring@sha256:one") == number


@pytest.mark.parametrize(
    ("tags", "content"),
    [
        ([f"v3-{'a' * 40}", "canary-7", "production"], f"v3-{'a' * 40}"),
        ([f"v3-{'a' * 40}", f"v3-{'b' * 40}"], ""),
        (["v3-a", "latest"], ""),
    ],
)
def test_the_content_of_an_image_is_told_by_one_tag(
    held: dict[str, dict[str, str]], tags: list[str], content: str
) -> None:
    held["scoring"] = {f"v2-{'c' * 40}": "sha256:another", **dict.fromkeys(tags, "sha256:one")}

    assert registry.content("r.azurecr.io/scoring@sha256:one") == content


@pytest.mark.parametrize("name", ["r.azurecr.io/gone@sha256:one", "r.azurecr.io/scoring:latest", "r.azurecr.io/none"])
def test_what_the_registry_does_not_hold_has_neither(held: dict[str, dict[str, str]], name: str) -> None:
    held["scoring"] = {"canary-7": "sha256:another", "latest": "sha256:another"}

    assert (registry.number("canary", name), registry.content(name)) == (0, "")


@pytest.mark.parametrize(("given", "number"), [("12", 12), (" 12 ", 12), ("", 0), ("$(RELEASE_BUILD)", 0), (None, 0)])
def test_a_release_by_hand_has_no_number(monkeypatch: pytest.MonkeyPatch, given: str | None, number: int) -> None:
    if given is None:
        monkeypatch.delenv("RELEASE_BUILD", raising=False)
    else:
        monkeypatch.setenv("RELEASE_BUILD", given)

    assert registry.release_build() == number


def test_the_image_holds_the_modules_that_the_server_imports_and_no_others() -> None:
    needed: set[str] = set()
    waiting = {"app"}
    while waiting:
        needed |= waiting
        waiting = set().union(*map(imported, waiting)) - needed

    assert needed == set(image.SERVES)


def test_what_is_staged_is_what_serves_and_nothing_that_was_there_before(project: Path) -> None:
    for stray in ("outputs/scoring-image/stale", f"src/{image.PACKAGE}/.env", "outputs/serving/stray"):
        (project / stray).parent.mkdir(parents=True, exist_ok=True)
        (project / stray).touch()

    staged()

    files = {path.relative_to(image.CONTEXT).as_posix() for path in image.CONTEXT.rglob("*") if path.is_file()}
    package = {f"{image.PACKAGE}/{module}.py" for module in image.SERVES}
    assert files == {"Dockerfile", "requirements/score.txt", "serving/model.json", "serving/model/MLmodel"} | package


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("src/{}/app.py", True),
        ("src/{}/train.py", False),
        ("requirements/score.txt", True),
        ("deployment/image/Dockerfile", True),
        ("outputs/serving/model/MLmodel", True),
        ("outputs/serving/stray", False),
    ],
)
def test_only_a_change_to_what_serves_makes_another_image(project: Path, file: str, counts: bool) -> None:
    before = staged()
    with (project / file.format(image.PACKAGE)).open("a", encoding="utf-8") as changed:
        changed.write("# a change\n")

    assert (staged() != before) is counts


def test_a_file_under_another_name_makes_another_image(project: Path) -> None:
    before = staged()
    (project / "outputs/serving/model/MLmodel").rename("outputs/serving/model/Another")

    assert staged() != before


def test_neither_modes_nor_times_make_another_image(project: Path) -> None:
    before = staged()
    for path in project.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (0, 0))

    assert staged() == before
    assert before.startswith("v3-")
    assert registry.CONTENT.fullmatch(before)


@pytest.mark.parametrize("missing", ["model", "model.json"])
def test_a_folder_without_a_model_is_refused(project: Path, missing: str) -> None:
    (project / "outputs" / "serving" / missing).rename("elsewhere")

    with pytest.raises(AzureError, match="holds no model: `python -m"):
        staged()


@pytest.mark.parametrize(("answer", "told"), [(True, "true"), (False, "false"), (AzureError("No way."), "false")])
def test_a_target_that_cannot_be_compared_is_not_the_same_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: bool | AzureError, told: str
) -> None:
    monkeypatch.setenv("TF_BUILD", "True")

    registry.tell_same("##vso[x]", Mock(side_effect=[answer]))

    printed = capsys.readouterr().out
    assert f"##vso[x]{told}\n" in printed
    assert ("##vso[task.logissue type=warning]No way." in printed) == isinstance(answer, AzureError)
