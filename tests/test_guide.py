"""The guide to another model, followed to the letter: its files written, its commands run."""

import re
import shutil

import pytest
from conftest import BIN, bake, run
from test_examples import NAMES, trace_of

PLACES = ("*.md", "*.toml", "data/*.md", "src/*", "src/*/*.py", "tests/*.py", "experimentation/*")

BLOCK = re.compile(
    r"(?:^`(?P<path>[^`\n]+)`\n\n)?^```(?P<language>\w+)\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE
)


def apply(diff, text):
    """Apply a diff without line numbers: it adds after the line named last, and removes the next line like it."""
    lines, at = text.splitlines(), 0
    for line in diff.splitlines():
        sign, content = line[0], line[1:]
        if sign == "+":
            at += 1
            lines.insert(at, content)
        else:
            at = lines.index(content, at)
            if sign == "-":
                del lines[at]
                at -= 1
    return "\n".join(lines) + "\n"


def follow(project, run_commands):
    """Do what the guide says, block by block. Returns what its commands printed."""
    told = ""
    for block in BLOCK.finditer((project / "docs" / "bring-your-own-model.md").read_text(encoding="utf-8")):
        path, language, content = block.group("path", "language", "content")
        if language == "bash":
            told += run("bash", "-euc", content, cwd=project) if run_commands else ""
        elif language == "diff":
            (project / path).write_text(apply(content, (project / path).read_text(encoding="utf-8")), encoding="utf-8")
        else:
            (project / path).write_text(content, encoding="utf-8")
    return told


@pytest.mark.prove
@pytest.mark.tool("make")
def test_following_the_guide_gives_a_project_that_works(defaults, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(defaults.path, project)

    told = follow(project, run_commands=True)

    assert re.search(r"^log_loss  0\.\d+ +-$", told, re.MULTILINE)
    assert "Smoke test successful." in told


@pytest.mark.parametrize("example", ["diabetes", "safe_driver"])
def test_following_the_guide_leaves_no_trace_of_the_example(example, cookies_session, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(bake(cookies_session, {"example": example, **NAMES}).path, project)

    follow(project, run_commands=False)

    run(BIN / "ruff", "check", "--no-cache", ".", cwd=project)
    run(BIN / "ruff", "format", "--check", "--no-cache", ".", cwd=project)
    for path in (path for folder in PLACES for path in project.glob(folder) if path.is_file()):
        trace = trace_of(example, path.read_text(encoding="utf-8").replace(f"example: '{example}'", ""))
        assert not trace, f"{path} still says {trace}"


def test_the_guide_has_nine_steps_or_fewer(project):
    guide = (project.path / "docs" / "bring-your-own-model.md").read_text(encoding="utf-8")

    assert 1 <= len(re.findall(r"^## ", guide, re.MULTILINE)) <= 9
