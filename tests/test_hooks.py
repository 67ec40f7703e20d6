"""The hooks, as functions; what they do in a bake is tested in test_bake.py."""

import pytest
from conftest import run

from hooks.post_gen_project import remove, unwanted
from hooks.pre_gen_project import INSTALLED, problems

GOOD = {
    "project_name": "Wine Quality",
    "project_slug": "wine-quality",
    "package_name": "wine_quality",
    "model_name": "wine-quality",
    "organisation": "Contoso",
    "resource_group": "mlops-RG_(test).1",
    "workspace_name": "mlops-AML_WS",
    "variable_group": "mlops vg-1.test",
    "azure_connection": "azure_connection",
    "azure_location": "West Europe",
    "base_name": "MyUniqueML",
    "agent_image_name": "mlops/diabetes_regression/tensor-flow",
    "agent_image_tag": "v1.2",
}


def test_good_answers_have_no_problems():
    assert list(problems(GOOD)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"package_name": "class"}, "keyword", id="keyword"),
        pytest.param({"package_name": "json"}, "standard library", id="standard_library"),
        pytest.param({"package_name": "test"}, "standard library", id="standard_library_not_listed"),
        pytest.param({"package_name": "telnetlib"}, "standard library", id="standard_library_of_3_11"),
        pytest.param({"package_name": "torch"}, "looks for", id="looked_for"),
        pytest.param({"package_name": "test_app"}, "a test", id="a_test"),
        pytest.param({"package_name": "numpy"}, "installs", id="installed"),
        pytest.param({"package_name": "docs"}, "folder", id="folder"),
        pytest.param({"package_name": "123"}, "a letter first", id="digits"),
        pytest.param({"package_name": "___"}, "a letter first", id="underscores"),
        pytest.param({"package_name": "été"}, "lower-case letters", id="accents"),
        pytest.param({"package_name": "Wine"}, "lower-case letters", id="upper_case"),
        pytest.param({"package_name": "wine-quality"}, "underscores", id="hyphen"),
        pytest.param({"package_name": ""}, "empty", id="empty"),
        pytest.param({"package_name": "a" * 41}, "at most 40", id="too_long"),
        pytest.param({"project_slug": "wine quality"}, "hyphens", id="slug_with_space"),
        pytest.param({"project_slug": "../wine"}, "hyphens", id="slug_that_leaves_the_folder"),
        pytest.param({"project_slug": "-wine"}, "a letter first", id="slug_like_an_option"),
        pytest.param({"model_name": "a/b"}, "hyphens", id="model_with_slash"),
        pytest.param({"model_name": "it's"}, "hyphens", id="model_with_quote"),
        pytest.param({"resource_group": "mlops RG"}, "parentheses", id="group_with_space"),
        pytest.param({"resource_group": "mlops-RG."}, "no dot at the end", id="group_with_dot_at_the_end"),
        pytest.param({"resource_group": "a" * 91}, "at most 90", id="group_too_long"),
        pytest.param({"workspace_name": "ws"}, "at least 3", id="workspace_too_short"),
        pytest.param({"workspace_name": "_workspace"}, "a letter or digit first", id="workspace_with_underscore_first"),
        pytest.param({"workspace_name": "a" * 34}, "at most 33", id="workspace_too_long"),
        pytest.param({"variable_group": "it's"}, "letters, digits, blanks", id="group_with_quote"),
        pytest.param({"variable_group": " vg"}, "no blank at its ends", id="group_with_blank_first"),
        pytest.param({"azure_connection": 'a"b'}, "letters, digits, blanks", id="connection_with_quote"),
        pytest.param({"azure_connection": "a$(b)"}, "letters, digits, blanks", id="connection_with_macro"),
        pytest.param({"base_name": "ab"}, "at least 3", id="base_too_short"),
        pytest.param({"base_name": "abcdefghijk"}, "at most 10", id="base_too_long"),
        pytest.param({"base_name": "my-ml"}, "letters and digits", id="base_with_dash"),
        pytest.param({"base_name": "1abc"}, "a letter first", id="base_with_digit_first"),
        pytest.param({"azure_location": "centralsu"}, "did you mean centralus?", id="region_mistyped"),
        pytest.param({"azure_location": "west-europe"}, "did you mean westeurope?", id="region_with_dash"),
        pytest.param({"azure_location": "narnia"}, "list-locations", id="region_that_is_none"),
        pytest.param({"agent_image_name": "a..b"}, "lower-case", id="image_with_two_dots"),
        pytest.param({"agent_image_name": "a:b"}, "lower-case", id="image_with_colon"),
        pytest.param({"agent_image_name": "Mlops/x"}, "lower-case", id="image_with_capital"),
        pytest.param({"agent_image_name": "a//b"}, "lower-case", id="image_with_two_slashes"),
        pytest.param({"agent_image_tag": ".x"}, "letters, digits", id="tag_with_dot_first"),
        pytest.param({"agent_image_tag": "a" * 129}, "at most 128", id="tag_too_long"),
        pytest.param({"project_name": " "}, "empty", id="blank_name"),
        pytest.param({"project_name": "a" * 61}, "at most 60", id="name_too_long"),
        pytest.param({"project_name": "a\nb"}, "line break", id="name_with_line_break"),
        pytest.param({"organisation": "a\x00b"}, "cannot be printed", id="control_character"),
    ],
)
def test_a_wrong_answer_is_told_by_question_and_reason(change, said):
    (sentence,) = problems(GOOD | change)

    assert sentence.startswith(f"{next(iter(change))}: ")
    assert said in sentence


def test_all_wrong_answers_are_told_at_once():
    wrong = dict.fromkeys(GOOD, "")

    assert {sentence.split(":")[0] for sentence in problems(wrong)} == wrong.keys()


@pytest.mark.slow
def test_every_installed_package_is_refused_as_a_name(environment, defaults):
    listing = "import importlib.metadata as m; print(*m.packages_distributions())"
    importable = set(run(environment(defaults), "-c", listing).split())

    names = {name for name in importable if name.isidentifier() and name == name.lower() and not name.startswith("_")}
    assert sorted(names - set(INSTALLED.split())) == []


TABLE = {
    "serving": {"online": ["app.py", "shared.py"], "batch": ["batch.py", "shared.py"], "none": []},
    "monitoring": {True: ["{package_name}/monitor.py"], False: []},
}


@pytest.mark.parametrize(
    ("answers", "paths"),
    [
        ({"serving": "online", "monitoring": True}, ["batch.py"]),
        ({"serving": "batch", "monitoring": False}, ["app.py", "wine/monitor.py"]),
        ({"serving": "none", "monitoring": False}, ["app.py", "batch.py", "shared.py", "wine/monitor.py"]),
    ],
    ids=["online", "batch", "none"],
)
def test_what_no_answer_brings_is_unwanted(answers, paths):
    assert unwanted(answers | {"package_name": "wine"}, TABLE) == paths


def test_an_answer_that_the_table_does_not_know_is_an_error():
    with pytest.raises(KeyError):
        unwanted({"serving": "both", "monitoring": True, "package_name": "wine"}, TABLE)


def test_removing_takes_the_folders_left_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "kept").touch()

    remove((tmp_path / "a" / "b" / "file").relative_to(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_removing_what_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FileNotFoundError):
        remove(tmp_path / "none")
