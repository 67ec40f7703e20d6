"""Baking itself: what is refused, what the hooks remove, and the ways people bake."""

import json
import shutil
import sys

import pytest
from conftest import BIN, ROOT, run


def bake(folder, *arguments, template=ROOT, code=0):
    """Bake as a person does, with the command."""
    command = (sys.executable, "-m", "cookiecutter", template, "--no-input", "--output-dir", folder, *arguments)
    return run(*command, code=code)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param("package_name=class", "package_name: 'class' is a keyword", id="keyword"),
        pytest.param("package_name=numpy", "package_name: 'numpy' is a package", id="installed"),
        pytest.param("package_name=été", "package_name: 'été' must consist of", id="accents"),
        pytest.param("project_name=", "project_name: it is empty", id="empty"),
        pytest.param(f"project_name={'a' * 300}", "has 300 characters; at most 60", id="too_long"),
        pytest.param("project_name=___", "project_name: '___' holds no letter", id="underscores"),
        pytest.param("project_name=123", "project_slug: '123' must consist of", id="digits"),
        pytest.param("project_slug=a b", "project_slug: 'a b' must consist of", id="space"),
        pytest.param("model_name=it's", 'model_name: "it\'s" must consist of', id="quote"),
    ],
)
def test_a_refused_bake_says_why_and_leaves_nothing(tmp_path, answer, said):
    told = bake(tmp_path, answer, code=1)

    assert said in told
    assert list(tmp_path.iterdir()) == []


def test_all_refusals_come_in_one_message(tmp_path):
    told = bake(tmp_path, "package_name=class", "model_name=a b", "organisation= ", code=1)

    assert told.count("\n  - ") == 3


@pytest.fixture
def with_an_option(snapshot, tmp_path):
    """Return a function that gives the template a question, and the table its answers."""
    template = tmp_path / "template"
    shutil.copytree(snapshot, template)

    def with_an_option(table):
        path = template / "cookiecutter.json"
        questions = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({"drift": True, **questions}), encoding="utf-8")
        hook = template / "hooks" / "post_gen_project.py"
        text = hook.read_text(encoding="utf-8")
        before, _, after = text.partition("\nBROUGHT_BY = ")
        hook.write_text(f"{before}\nBROUGHT_BY = {table!r}\n{after[after.index('def unwanted') :]}", encoding="utf-8")
        return template

    return with_an_option


@pytest.mark.parametrize(("answer", "kept"), [("yes", True), ("no", False)])
def test_an_answer_brings_its_files_and_another_does_not(with_an_option, tmp_path, answer, kept):
    template = with_an_option({"drift": {True: ["experimentation"], False: []}})

    bake(tmp_path / "out", f"drift={answer}", template=template)

    assert (tmp_path / "out" / "diabetes-regression" / "experimentation").exists() == kept
    assert (tmp_path / "out" / "diabetes-regression" / "src").exists()


def test_a_table_that_names_a_path_that_is_not_there_fails_the_bake(with_an_option, tmp_path):
    template = with_an_option({"drift": {True: ["no/such/path"], False: []}})

    told = bake(tmp_path / "out", "drift=no", template=template, code=1)

    assert "no/such/path" in told
    assert not (tmp_path / "out" / "diabetes-regression").exists()


def test_answers_come_from_a_file(tmp_path, defaults):
    answers = (defaults.path / "README.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "answers.yml").write_text(answers.replace("Contoso", "Fabrikam"), encoding="utf-8")

    bake(tmp_path / "out", "--config-file", tmp_path / "answers.yml")

    assert "Fabrikam" in (tmp_path / "out" / "diabetes-regression" / "README.md").read_text(encoding="utf-8")


def git(*arguments, cwd):
    run("git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *arguments, cwd=cwd)


@pytest.mark.tool("git")
def test_cruft_creates_a_project_and_updates_it(snapshot, tmp_path):
    template = tmp_path / "template"
    shutil.copytree(snapshot, template)
    git("init", "--quiet", "--initial-branch=main", cwd=template)
    git("add", "--all", cwd=template)
    git("commit", "--quiet", "--message=first", cwd=template)
    run(BIN / "cruft", "create", template, "--no-input", "--output-dir", tmp_path)
    project = tmp_path / "diabetes-regression"
    git("init", "--quiet", cwd=project)
    git("add", "--all", cwd=project)
    git("commit", "--quiet", "--message=baked", cwd=project)
    run(BIN / "cruft", "check", cwd=project)

    (template / "{{cookiecutter.project_slug}}" / "NEWS.md").write_text("# {{ cookiecutter.project_name }}\n")
    git("add", "--all", cwd=template)
    git("commit", "--quiet", "--message=second", cwd=template)
    run(BIN / "cruft", "check", cwd=project, code=1)
    run(BIN / "cruft", "update", "--skip-apply-ask", cwd=project)

    assert (project / "NEWS.md").read_text(encoding="utf-8") == "# Diabetes Regression\n"
    run(BIN / "cruft", "check", cwd=project)
