"""The scoring image: built in the registry unless it is there, and named by its digest."""

import re

import pytest
from conftest import BIN, bake, run
from local_pipelines import edit
from local_targets import world as made

pytestmark = pytest.mark.tool("openssl")

PUSHED = {"registry": "baseamlcr.azurecr.io", "repository": "a-slug-scoring", "digest": f"sha256:{'a' * 64}"}


@pytest.fixture(scope="session")
def described(cookies_session):
    """Return a project that is served by a Web App."""
    return bake(cookies_session, {"deploy_webapp": True})


@pytest.fixture
def world(described, files, tmp_path):
    yield from made("web_app", described, files, tmp_path)


def test_an_image_is_built_in_the_registry_and_named_by_its_digest(world):
    world.set(repositories={})

    told = world.build("--output", "image.txt", RELEASE_BUILD="7")

    (build,) = world.calls("acr", "build")
    (tag,) = re.findall(r" IMAGE_ID=(v2-[0-9a-f]{40}) ", build)
    digest = world.repositories()["a-slug-scoring"][tag]
    image = f"baseamlcr.azurecr.io/a-slug-scoring@{digest}"
    assert world.repositories() == {"a-slug-scoring": {tag: digest}}
    assert " --platform linux/amd64 --no-wait outputs/scoring-image " in build
    assert (world.root / "image.txt").read_text() == f"{image}\n"
    assert f"##vso[task.setvariable variable=IMAGE;isOutput=true]{image}\n" in told
    assert "Step 1/9" in told


def test_an_image_of_the_same_content_is_not_built_again(world):
    world.build("--output", "first.txt")
    before = world.repositories()

    told = world.build("--output", "second.txt")

    assert len(world.calls("acr", "build")) == 1
    assert "already: nothing to build." in told
    assert (world.root / "second.txt").read_text() == (world.root / "first.txt").read_text()
    assert world.repositories() == before


def test_only_a_change_to_what_serves_builds_another_image(world, described):
    source = f"src/{described.answers['package_name']}"
    world.build()

    edit(world.root, f"{source}/train.py", '"""', '"""A word. ')
    world.build()
    assert len(world.calls("acr", "build")) == 1
    edit(world.root, f"{source}/app.py", '"""', '"""A word. ')
    world.build()
    assert len(world.calls("acr", "build")) == 2


def test_a_model_that_lies_elsewhere_is_what_gets_into_the_image(world, tmp_path):
    (world.root / "outputs" / "serving").rename(tmp_path / "elsewhere")

    world.build("--folder", tmp_path / "elsewhere")

    assert (world.root / "outputs" / "scoring-image" / "serving" / "model" / "MLmodel").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"run": {"runId": "ca1", "status": "Failed", "outputImages": [PUSHED]}}, "the registry ended with Failed"),
        ({"run": {"runId": "ca1", "status": "Failed", "outputImages": None}}, "the registry ended with Failed"),
        ({"run": {"runId": "ca1", "status": "Succeeded", "outputImages": []}}, "and pushed no image"),
        ({"failing": ["acr build"]}, "error: az acr build --registry: Forbidden"),
        ({"failing": ["acr repository list"]}, "error: az acr repository list: Forbidden"),
        ({"failing": ["acr task logs"]}, "error: az acr task logs failed"),
    ],
    ids=["build_failed", "build_failed_early", "nothing_pushed", "refused", "no_list", "no_log"],
)
def test_a_build_that_fails_names_no_image(world, changed, said):
    world.set(**changed)

    told = world.build(code=1)

    assert said in told
    assert "Traceback" not in told
    assert not (world.root / "image.txt").exists()
    assert "##vso" not in told


def test_a_run_that_names_no_digest_is_refused(world):
    pushed = {**PUSHED, "digest": "latest\n##vso[x]"}
    world.set(run={"runId": "ca1", "status": "Succeeded", "outputImages": [pushed]})

    told = world.build(code=1)

    assert "error: The registry names no digest" in told
    assert "\n##vso" not in told
    assert not (world.root / "image.txt").exists()


def test_without_a_model_nothing_is_built(world):
    (world.root / "outputs" / "serving" / "model.json").unlink()

    assert "holds no model: `python -m ml_service.fetch --output outputs/serving`" in world.build(code=1)
    assert world.calls() == []


# -- the files ---


def test_the_image_holds_what_is_locked_the_package_and_the_model(described):
    text = (described.path / "deployment" / "image" / "Dockerfile").read_text("utf-8")
    ignored = (described.path / ".dockerignore").read_text("utf-8").splitlines()

    copied = re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE)
    assert copied == ["requirements/score.txt", described.answers["package_name"], "serving"]
    assert [line for line in ignored if line[0] != "#"] == ["*", "!requirements", "**/__pycache__", "**/.env"]
    assert not list(described.path.glob("*/*.dockerignore"))
    assert re.search(r"^ARG IMAGE_ID\nENV IMAGE_ID=\$\{IMAGE_ID\}$", text, re.MULTILINE)
    assert re.search(r"^ARG BASE_IMAGE=\S+:\d+\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert text.count("pip") == text.count("--require-hashes") + 2
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python", "-m", "\w+\.app", .*"--port", "8080"\]$', text, re.MULTILINE)


def test_programs_of_deployment_pass_the_strictest_checks(described):
    words = ("--strict", "--explicit-package-bases", "--no-incremental", "deployment", "environment_setup")

    run(BIN / "mypy", *words, cwd=described.path)
