"""What programs of ml_service/ are told, and how they say what is missing or wrong."""

import re
from pathlib import Path

import pytest
from ml_service import settings
{% if cookiecutter.batch_scoring %}
from ml_service.batch_settings import BatchSettings
{% else %}
from ml_service.settings import Settings
{% endif %}

from {{ cookiecutter.package_name }}.program import UserError

ROOT = Path(__file__).parents[1]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
NAMES = re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE)
FILLED_IN = {"SUBSCRIPTION_ID": "one", "BUILD_BUILDID": "7"}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """Return a copy of .env.example in which only what nobody can know is filled in."""
    text = EXAMPLE
    for name, value in FILLED_IN.items():
        text = text.replace(f"{name}=", f"{name}={value}")
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(file: Path) -> str:
    with pytest.raises(UserError) as refused:
        settings.read(file)
    return str(refused.value)


def test_the_example_names_every_setting_once_and_no_other() -> None:
    named = {{ "BatchSettings" if cookiecutter.batch_scoring else "Settings" }}.model_fields

    fields = {str(field.validation_alias or name).upper() for name, field in named.items()}

    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) == fields


def test_the_example_is_complete_once_it_is_filled_in(example: Path) -> None:
    read = settings.read(example)

    assert (read.subscription_id, read.build_id, read.dataset_version) == ("one", "7", "latest")
    assert (read.datastore_name, read.data_file_path) == (None, None)


def test_what_is_the_same_in_every_build_needs_no_build(example: Path) -> None:
    example.write_text(example.read_text("utf-8").replace("BUILD_BUILDID=7", "BUILD_BUILDID="), encoding="utf-8")

    assert settings.read_azure(example).subscription_id == "one"
    assert "BUILD_BUILDID is missing" in refusal(example)


def test_the_environment_wins_over_the_file(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSPACE_NAME", "another")

    assert settings.read(example).workspace_name == "another"


def test_all_that_is_missing_or_wrong_is_named_at_once(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_BUILDID", "$(Build.BuildId)")  # as Azure Pipelines hands on what no variable holds
    monkeypatch.setenv("COMPUTE_MIN_NODES", "5")
    monkeypatch.setenv("COMPUTE_NAME", "a b")
    monkeypatch.setenv("COMPUTE_IDLE_SECONDS", "many")
    monkeypatch.setenv("DATA_FILE_PATH", "new.csv")
    monkeypatch.setenv("DATASET_VERSION", "2")
    monkeypatch.setenv("RUN_EVALUATION", "perhaps")

    told = refusal(example)

    assert "BUILD_BUILDID is missing" in told
    assert "COMPUTE_MAX_NODES is below COMPUTE_MIN_NODES" in told
    assert "COMPUTE_NAME " in told
    assert re.search(r"COMPUTE_IDLE_SECONDS .*'many'", told)
    assert "DATA_FILE_PATH makes a new version" in told
    assert re.search(r"RUN_EVALUATION .*'perhaps'", told)
    assert len(told.splitlines()) == 8


@pytest.mark.parametrize("value", ["two words", "a;b", "a$(id)", "`id`", "a&b", "it's", "a\nb", "*", "~"])
def test_what_a_shell_would_act_upon_is_refused(example: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    names = ("BUILD_BUILDID", "BUILD_URI", "CALLER_RUN_ID", "MODEL_NAME")
    for name in names:
        monkeypatch.setenv(name, value)

    told = refusal(example)

    assert [name for name in names if f"{name} may hold letters, digits" not in told] == []


def test_the_address_of_a_build_in_azure_devops_is_accepted(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://dev.azure.com/my-org/my%20project/_build/results?buildId=42"
    monkeypatch.setenv("BUILD_URI", address)

    assert settings.read(example).build_uri == address


@pytest.mark.parametrize(("written", "read"), [("False", "false"), ("TRUE", "true")])
def test_switches_are_read_as_azure_pipelines_writes_them(
    example: Path, monkeypatch: pytest.MonkeyPatch, written: str, read: str
) -> None:
    monkeypatch.setenv("ALLOW_RUN_CANCEL", written)

    assert settings.read(example).allow_run_cancel == read
