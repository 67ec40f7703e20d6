"""The examples: what differs between two of them, and that neither leaves a trace in the other."""

import re

import pytest
from conftest import bake

# The source of the data, its schema, the estimator with its files and plots, the parameters; their test and documents;
# and what they need installed.
MAY_DIFFER = {
    "README.md",
    "data/README.md",
    "deployment/image/Dockerfile",
    "docs/bring-your-own-model.md",
    "environment_setup/Dockerfile",
    "pyproject.toml",
    "requirements/batch.txt",
    "requirements/dev.txt",
    "requirements/score.txt",
    "requirements/train.txt",
    "src/parameters.yml",
    "src/request.json",
    "src/named/estimator.py",
    "src/named/plots.py",
    "src/named/predictor.py",
    "src/named/sample.py",
    "src/named/schema.py",
    "tests/test_estimator.py",
}
NAMES = {
    "batch_scoring": True,
    "project_name": "Named",
    "project_slug": "named",
    "package_name": "named",
    "model_name": "named",
}


@pytest.fixture(scope="module")
def diabetes(cookies_session):
    return bake(cookies_session, {"example": "diabetes", **NAMES})


@pytest.fixture(scope="module")
def safe_driver(cookies_session):
    return bake(cookies_session, {"example": "safe_driver", **NAMES})


def contents(project):
    return {path.relative_to(project.path).as_posix(): path.read_text(encoding="utf-8") for path in project.files()}


def test_examples_differ_in_these_files_only(diabetes, safe_driver):
    ours, theirs = contents(diabetes), contents(safe_driver)

    assert ours.keys() == theirs.keys()
    assert {path for path in ours if ours[path] != theirs[path]} == MAY_DIFFER


WORDS = {
    "diabetes": "ridge|diabetes|patient|alpha|mse",
    "safe_driver": "driver|lightgbm|claim|booster|porto|auc|libgomp1",
}


def trace_of(example, text):
    """Return a word of an example that a text holds, or None."""
    return re.search(rf"(?i)(?<![a-z])({WORDS[example]})(?![a-z])", text)


@pytest.mark.parametrize(("example", "other"), [("diabetes", "safe_driver"), ("safe_driver", "diabetes")])
def test_an_example_leaves_no_trace_in_the_other(example, other, cookies_session):
    project = bake(cookies_session, {"example": other, **NAMES})

    for path, text in contents(project).items():
        trace = trace_of(example, text)
        assert not trace, f"{path} says {trace}"
