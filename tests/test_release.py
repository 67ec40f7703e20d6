"""A release to each target: every way in which it can end, by the program itself, against what stands in for Azure."""

import re
import shutil
import sys

import local_targets
import pytest
from conftest import bake, run
from local_pipelines import edit
from local_targets import (
    ABROAD,
    BROKEN,
    FORMER,
    KEY,
    NEW,
    OTHER,
    RENAMED,
    SECOND,
    SERVES,
    SILENT,
    TAGS,
    TARGETS,
    named,
)

pytestmark = pytest.mark.tool("openssl")

LATER = {"RELEASE_BUILD": "12"}


@pytest.fixture(scope="session")
def described(cookies_session):
    """Return a project with all targets that this program knows."""
    return bake(cookies_session, {"deploy_webapp": True, "aks": "service"})


@pytest.fixture(params=["web_app", "aci", pytest.param("aks", marks=pytest.mark.tool("kubectl"))])
def world(request, described, files, tmp_path):
    """Return each target in turn."""
    yield from local_targets.world(request.param, described, files, tmp_path)


@pytest.fixture
def app(described, files, tmp_path):
    """Return the Web App alone, for what the program decides before it asks a target."""
    yield from local_targets.world("web_app", described, files, tmp_path)


def shown(image):
    version, _, says = SERVES.get(image, (2, None, image))
    return f"a-model version {version} of image {TAGS[says]}"


# -- set, and proved ---


def test_a_release_sets_the_image_and_is_done_when_its_version_answers(world):
    told = world.deploy(NEW)

    assert world.image() == NEW
    assert world.changes() == 1
    assert f"{shown(NEW)} serves at http" in told
    assert "warning" not in told
    assert ("It has no TLS: keys and rows travel in the clear." in told) == (world.target == "aci")


def test_a_first_release_needs_nothing_to_be_there(world):
    world.has(None)

    assert " has nothing yet." in world.deploy(NEW)
    assert world.image() == NEW


def test_no_secret_is_in_a_log_or_on_a_command_line(world):
    told = world.deploy(NEW)

    for secret in (KEY, "a secret of somebody", "key-of-the-logs"):
        assert secret not in told
        assert not [call for call in world.calls() if secret in call]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "code"),
    [pytest.param(NEW, 0, id="serves"), pytest.param(BROKEN, 1, id="does_not", marks=pytest.mark.prove)],
)
def test_the_real_smoke_test_has_the_last_word(world, described, environment, image, code):
    package = described.package()
    shutil.copy(package / "smoke_test.py", world.root / package.relative_to(described.path))
    world.set(refuses=[429, 503])

    told = world.deploy(image, code=code, python=environment(described), SCORING_KEY="of something else")

    assert world.image() == (FORMER if code else NEW)
    assert ("Predictions: 1, 1" in told) == (code == 0)
    assert KEY not in told


@pytest.mark.parametrize("answers", [[2, 2, 1, 2, 2, 2], [2, 1, 2, 2, 1, 2, 2, 2]])
def test_a_version_counts_once_it_has_answered_three_times_in_a_row(described, answers):
    code = (
        "from deployment import release\n"
        f"left = list({answers})\n"
        "release.serving = lambda address: str(left.pop(0))\n"
        "release.wait_for('2', 'an-address', release.Patience(10, 0))\n"
        "print('left:', left)\n"
    )

    assert "left: []" in run(sys.executable, "-c", code, cwd=described.path)


def test_a_container_that_restarts_while_it_is_proved_must_answer_as_often_again(world):
    world.set(stumbles=4)

    told = world.deploy(NEW)

    assert re.findall(r"answers: (no model|a-model version 2)", told)[-4:] == 2 * ["no model", "a-model version 2"]
    assert world.image() == NEW


# -- not proved, and put back ---


@pytest.mark.parametrize(
    ("image", "why"),
    [
        pytest.param(SILENT, "a-model version 2 .*did not come up .*last it answered: no model", id="never_healthy"),
        pytest.param(OTHER, "a-model version 2 .*did not come up .*answered: a-model version 3", id="another_version"),
        pytest.param(BROKEN, "The smoke test failed: see what it said above", id="no_predictions"),
    ],
)
def test_an_image_that_does_not_serve_is_replaced_by_the_former_one(world, image, why):
    told = world.deploy(image, code=1)

    assert world.image() == FORMER
    said = f"^error: {why}.* Its former image {FORMER} was put back: {shown(FORMER)} serves again\\.$"
    assert re.search(said, told, re.MULTILINE), told
    assert "error: " in told.splitlines()[-1]
    assert re.search("^    (A line of the (app|container)|[0-9]+: )", told, re.MULTILINE), told
    assert "##vso" not in told


def test_a_second_image_of_the_same_version_that_never_starts_is_not_taken_for_the_former(app):
    app.model(1)

    told = app.deploy(SECOND, code=1)

    assert app.image() == FORMER
    assert f"a-model version 1 of image {TAGS[SECOND]} did not come up" in told
    assert f"was put back: {shown(FORMER)} serves again." in told


def test_what_another_run_has_set_meanwhile_is_left_alone(world):
    world.set(meanwhile=OTHER)

    told = world.deploy(SILENT, code=1)

    assert world.image() == OTHER
    assert f"to {OTHER} meanwhile: that was left alone." in told


def test_a_model_that_does_not_answer_once_had_served_all_the_same(app):
    app.set(deaf=1)

    assert f"{shown(FORMER)} serves again" in app.deploy(SILENT, code=1)


def test_a_former_image_that_does_not_answer_any_more_is_told_loudly(world, described):
    file = world.root / described.package().relative_to(described.path) / "smoke_test.py"
    state = world.folder / "azure.json"
    code = f"import json, pathlib\nfile = pathlib.Path({str(state)!r})\nstate = json.loads(file.read_text())\n"
    code += f"file.write_text(json.dumps({{**state, 'silent': [{FORMER!r}]}}))\nraise SystemExit(1)\n"
    file.write_text(code, encoding="utf-8")

    told = world.deploy(NEW, code=1)

    failed = f"PUTTING BACK {FORMER} FAILED: a-model version 1 of image {TAGS[FORMER]} did not come up"
    assert re.search(f"error: The smoke test failed.*{failed}", told)


def test_a_first_release_that_fails_leaves_nothing(world):
    world.has(None)

    told = world.deploy(SILENT, code=1)

    assert world.image() is None
    assert told.strip().endswith("Nothing was there before, and what this left was removed.")


def test_the_same_image_that_fails_has_no_other_to_go_back_to(world):
    world.model(1)
    world.deploy(FORMER, "--timeout", "5")
    world.set(silent=[FORMER])

    told = world.deploy(FORMER, code=1)

    assert "It ran this image before, so there is no other to put back: start cd with an earlier" in told
    assert world.image() == FORMER


def test_a_release_that_is_canceled_before_it_begins_says_so(app):
    code, told = app.cancel(SILENT, when=lambda: app.calls("acr", "repository"))

    assert (code, app.image(), app.changes()) == (130, FORMER, 0)
    assert told.splitlines()[-1] == "Canceled: nothing was changed."


@pytest.mark.parametrize("how", ["drips", "elsewhere", "commands"])
def test_what_answers_strangely_is_no_model_and_no_command(app, how):
    edit(app.root, "deployment/release.py", "SECONDS_TO_ANSWER = 10.0", "SECONDS_TO_ANSWER = 0.5")
    app.set(strange=how)

    told = app.deploy(SILENT, code=1)

    assert "did not come up" in told
    assert "##vso" not in told


def test_a_release_that_is_canceled_says_what_may_serve(world):
    code, told = world.cancel(SILENT, when=lambda: world.image() == SILENT)

    assert (code, world.image()) == (130, SILENT)
    said = f"Canceled: .* may serve {shown(SILENT)}, which nothing has tested, {shown(FORMER)}, or nothing"
    assert re.match(said, told.splitlines()[-1]), told


# -- what is deployed, and what is not ---


def test_what_serves_already_is_seen_to_answer_and_not_deployed(world):
    world.deploy(NEW)
    before = world.changes()
    world.set(deaf=2)
    world.tag(f"{TARGETS[world.target].tag}-15", of=NEW)

    told = world.deploy(NEW, **LATER)

    assert f"serves {shown(NEW)}: nothing to deploy." in told
    assert world.changes() == before


def test_an_image_of_the_same_content_under_another_digest_is_not_deployed(app):
    app.has(RENAMED)

    assert f"serves {shown(NEW)}: nothing to deploy." in app.deploy(NEW)
    assert app.image() == RENAMED


def test_an_equal_image_that_does_not_answer_is_deployed(app):
    app.has(RENAMED)
    app.set(silent=[RENAMED])

    app.deploy(NEW)

    assert app.image() == NEW


ORDER = [
    # number of what serves, RELEASE_BUILD and GOING_BACK: what is said, and whether it is deployed
    pytest.param(11, ("12", "false"), "", True, id="higher"),
    pytest.param(12, ("12", "false"), "", True, id="the_same_build_again"),
    pytest.param(
        15,
        ("12", "false"),
        "Build 12 is older than build 15, which was released before it: it is not deployed. "
        "To go back on purpose, start cd by hand with its modelBuildId; without one, cd brings the champion.",
        False,
        id="lower",
    ),
    pytest.param(15, ("12", "$(GOING_BACK)"), "older than build 15, ", False, id="nobody_said_back"),
    pytest.param(15, ("12", "True"), "Going back from build 15.", True, id="lower_going_back"),
    pytest.param(15, ("", ""), "", True, id="by_hand"),
    pytest.param(15, ("twelve", ""), "RELEASE_BUILD is 'twelve': it must be the number", False, id="no_build"),
]


@pytest.mark.parametrize(("number", "release", "said", "deployed"), ORDER)
def test_a_later_build_is_replaced_by_an_older_one_only_on_purpose(app, number, release, said, deployed):
    app.tag(f"{TARGETS[app.target].tag}-{number}", of=FORMER)

    told = app.deploy(NEW, code=0 if deployed else 1, RELEASE_BUILD=release[0], GOING_BACK=release[1])

    assert said in told
    assert ("Going back" in told) == said.startswith("Going back")
    assert app.image() == (NEW if deployed else FORMER)
    assert app.changes() == deployed


@pytest.mark.parametrize("runs", [FORMER, RENAMED, ABROAD])
def test_an_image_that_the_registry_has_no_more_has_no_number(app, runs):
    app.has(runs)
    app.forget(runs)

    app.deploy(NEW, **LATER)

    assert app.image() == NEW


@pytest.mark.parametrize("image", ["", "baseamlcr.azurecr.io/a:latest", "docker.io/a@sha256:" + "a" * 64, NEW + "\n"])
def test_only_an_image_of_a_registry_by_its_digest_is_taken(app, image):
    assert "is no image by digest" in app.deploy(image, code=2)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(named("9"), id="not_in_the_registry"),
        pytest.param(RENAMED, id="of_another_project"),
        pytest.param(NEW.replace("baseamlcr", "another"), id="of_another_registry"),
    ],
)
def test_only_this_project_s_own_image_is_deployed(app, image):
    told = app.deploy(image, code=1)

    said = "is no image of baseamlcr.azurecr.io/a-slug-scoring with one tag of its content"
    assert f"error: {image} {said}: `python -m deployment.image.build` builds one." in told
    assert app.changes() == 0


def test_an_image_that_two_tags_of_content_tell_is_not_deployed(app):
    app.tag(f"v2-{'f' * 40}", of=NEW)

    assert "with one tag of its content" in app.deploy(NEW, code=1)
    assert app.changes() == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "model.json names no model (FileNotFoundError"),
        ("no JSON", "model.json names no model (JSONDecodeError"),
        ("[]", "model.json names no model (TypeError"),
        ('{"name": "a-model"}', "model.json names no model (KeyError('version'))"),
    ],
    ids=["none", "no_json", "a_list", "no_version"],
)
def test_without_a_judged_version_nothing_is_changed(app, content, said):
    (app.root / "model.json").unlink()
    if content is not None:
        (app.root / "model.json").write_text(content, encoding="utf-8")

    assert f"error: {said}" in app.deploy(NEW, code=1)
    assert app.changes() == 0


# -- whether anything is to be deployed ---


@pytest.mark.parametrize("silent", [False, True], ids=["answers", "silent"])
def test_a_release_asks_first_whether_anything_is_to_be_deployed(world, silent):
    assert world.same(NEW).count("##vso[task.setvariable variable=SAME;isOutput=true]false\n") == 1
    world.deploy(NEW)
    before = world.changes()
    world.set(silent=[NEW] if silent else [])

    told = world.same(NEW, RELEASE_BUILD="12")

    same = str(not silent).lower()
    assert re.findall(r"^##vso.*$", told, re.MULTILINE) == [
        f"##vso[task.setvariable variable=SAME;isOutput=true]{same}"
    ]
    assert ("nothing to deploy." in told) != silent
    assert (f"answers: no model. To be deployed: {shown(NEW)}." in told) == silent
    assert world.changes() == before
    assert (world.numbered(12) is not None) != silent


# -- the number of what serves ---


def test_an_image_gets_its_number_when_it_is_deployed_and_not_before(world):
    world.same(NEW, RELEASE_BUILD="12")
    assert world.numbered(12) is None

    world.deploy(NEW, RELEASE_BUILD="12")
    world.deploy(NEW, RELEASE_BUILD="12")

    assert world.numbered(12) == NEW.partition("@")[2]
    assert len(world.calls("acr", "import")) == 1


def test_what_serves_already_is_of_the_later_build_from_then_on(app):
    app.model(1)
    app.deploy(FORMER)
    app.same(FORMER, RELEASE_BUILD="15")
    app.model(2)

    told = app.deploy(NEW, code=1, RELEASE_BUILD="12")

    assert "Build 12 is older than build 15, " in told
    assert app.numbered(12) is None


def test_a_number_that_names_another_image_is_moved(app):
    app.tag(f"{TARGETS[app.target].tag}-12", of=FORMER)

    app.deploy(NEW, RELEASE_BUILD="12")

    assert app.numbered(12) == NEW.partition("@")[2]


def test_an_image_that_cannot_get_its_number_is_not_deployed(app):
    app.set(failing=["acr import"])

    assert "error: az acr import --name: Forbidden" in app.deploy(NEW, code=1, RELEASE_BUILD="12")
    assert app.changes() == 0


def test_by_hand_no_image_gets_a_number(app):
    app.deploy(NEW, RELEASE_BUILD="$(RELEASE_BUILD)")

    assert app.calls("acr", "import") == []
