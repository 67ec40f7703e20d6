"""Which colour runs and serves which version, after each success and each failure of a canary release."""

import itertools
import re

import pytest
from deployment.stages import BLUE, GREEN, STAGES, Colour, State, after
from environment_setup.azure_cli import AzureError

NEW = Colour("image-2", "2")
RELEASE = [name for name in STAGES if name != "rollback"]


def state(text: str) -> State:
    """Read `b2! g1*`: blue runs version 2 and is not ready, green runs version 1 and gets traffic."""
    found = {name: (version, marks) for name, version, marks in re.findall(r"([bg])(\d)([!*]*)", text)}
    blue, green = (
        Colour(f"image-{found[name][0]}", found[name][0], "!" not in found[name][1]) if name in found else None
        for name in "bg"
    )
    serving = frozenset(colour for colour in (BLUE, GREEN) if "*" in found.get(colour[0], ("", ""))[1])
    return State(blue, green, serving)


def text(of: State) -> str:
    parts = []
    for name, colour in ((BLUE, of.blue), (GREEN, of.green)):
        if colour:
            marks = ("" if colour.ready else "!") + ("*" if name in of.serving else "")
            parts.append(f"{name[0]}{colour.version}{marks}")
    return " ".join(parts)


def moved(name: str, now: str) -> str:
    """Return what a stage that releases version 2 makes of a state; the same where there is nothing to do."""
    return text(after(name, state(now), NEW) or state(now))


# the state before, the stage, the state after, and what a rollback makes of that
LATER = [
    ("g1*", "stand_in", "g1*", "g1*"),
    ("g1*", "hand_over", "g1*", "g1*"),
    ("g1*", "blue_staging", "b2 g1*", "b2 g1*"),
    ("b2 g1*", "blue_50", "b2* g1*", "b2 g1*"),
    ("b2* g1*", "blue_100", "b2* g1", "b2 g1*"),
    ("b2* g1", "green_staging", "b2* g2", "b2* g2"),
    ("b2* g2", "green_100", "b2 g2*", "b2* g2"),
    ("b2 g2*", "remove_blue", "g2*", "g2*"),
]
FIRST = [
    ("", "stand_in", "", ""),
    ("", "hand_over", "", ""),
    ("", "blue_staging", "b2", "b2"),
    ("b2", "blue_50", "b2*", "b2*"),
    ("b2*", "blue_100", "b2*", "b2*"),
    ("b2*", "green_staging", "b2* g2", "b2* g2"),
    ("b2* g2", "green_100", "b2 g2*", "b2* g2"),
    ("b2 g2*", "remove_blue", "g2*", "g2*"),
]
AFTER_A_FAILURE = [  # of a release of version 1, which stopped at blue
    ("b1* g1!", "stand_in", "b1* g1", "b1* g1"),
    ("b1* g1", "hand_over", "b1 g1*", "b1 g1*"),
    ("b1 g1*", "blue_staging", "b2 g1*", "b2 g1*"),
]


@pytest.mark.parametrize(("now", "stage", "then", "back"), [*LATER, *FIRST, *AFTER_A_FAILURE])
def test_each_stage_leads_to_one_state_and_a_rollback_to_another(now: str, stage: str, then: str, back: str) -> None:
    assert moved(stage, now) == then
    assert moved("rollback", then) == back


@pytest.mark.parametrize(
    ("failed", "back"),
    [
        ("b2! g1*", "b2! g1*"),  # blue does not start
        ("b2!* g1*", "b2! g1*"),  # blue breaks down under half of the traffic
        ("b2!* g1", "b2! g1*"),  # under all of it
        ("b2* g1!", "b2* g1!"),  # green has broken down meanwhile: blue has all of it, and is ready
        ("b2* g1!*", "b2* g1!"),
        ("b2* g2!", "b2* g2!"),  # green does not start with the new image
        ("b2 g2!*", "b2* g2!"),  # green breaks down under all of it
        ("b2! g2*", "b2! g2*"),  # blue has gone: green stays
        ("b2!*", "b2!*"),  # there is nothing else
        ("b2!", "b2!"),
        ("b1* g1!", "b1* g1!"),  # green does not start in blue's place
        ("b1 g1!*", "b1* g1!"),  # green breaks down in blue's place, which has the same
        ("b1* g3*", "b1* g3*"),  # what runs is another release's: it is left to that one
        ("b3* g1*", "b3* g1*"),
        ("b3 g3*", "b3 g3*"),
        ("b3* g2*", "b3* g2*"),
        ("b3* g2!*", "b3* g2!*"),
        ("b2 g1", "b2 g1"),  # nobody served
    ],
)
def test_a_rollback_finds_what_has_served(failed: str, back: str) -> None:
    assert moved("rollback", failed) == back


@pytest.mark.parametrize(
    ("waits", "next_stage"),
    [
        ("b2 g1*", "blue_50"),
        ("b2* g1*", "blue_100"),
        ("b2* g1", "green_staging"),
        ("b2* g2", "green_100"),
        ("b2 g2*", "remove_blue"),
    ],
)
def test_a_release_that_was_overtaken_leaves_the_other_alone(waits: str, next_stage: str) -> None:
    """Version 3 is released while version 2 waits for an approval, which comes or is refused at any time."""
    now, overtaken, other = state(waits), False, Colour("image-3", "3")
    for name in RELEASE:
        now = after(name, now, other) or now
        overtaken |= name == "blue_staging"
        assert after("rollback", now, NEW) is None or not overtaken, f"{name} is undone"
        try:
            then = after(next_stage, now, NEW) or now
        except AzureError:
            continue
        assert then == now or not overtaken, f"{name} is undone"
    assert text(now) == "g3*"


@pytest.mark.parametrize("stage", [name for name in RELEASE if name != "remove_blue"])
@pytest.mark.parametrize("now", ["g2*", "b2 g2*", "b1 g2*"])
def test_where_green_serves_the_image_already_nothing_is_done(stage: str, now: str) -> None:
    assert after(stage, state(now), NEW) is None


@pytest.mark.parametrize("stage", ["stand_in", "hand_over", "rollback"])
@pytest.mark.parametrize("now", ["", "g1*"])
def test_where_nothing_stopped_half_way_nothing_is_done(stage: str, now: str) -> None:
    assert after(stage, state(now), NEW) is None


def test_an_image_that_serves_but_is_not_ready_is_installed_again() -> None:
    assert moved("blue_staging", "g2!*") == "b2 g2!*"


@pytest.mark.parametrize(
    ("stage", "now"),
    [
        ("hand_over", "b1* g1!*"),
        ("blue_staging", "b1*"),
        ("blue_staging", "b1* g1*"),
        ("blue_50", "g1*"),
        ("blue_50", "b2! g1*"),
        ("blue_50", "b3 g1*"),
        ("blue_100", "b3* g1*"),
        ("green_staging", "b2 g1*"),
        ("green_staging", "b2* g1*"),
        ("green_staging", "b3* g1"),
        ("green_100", "b2* g1"),
        ("green_100", "b2* g2!"),
        ("green_100", "b3* g2*"),
        ("remove_blue", "b2* g2"),
        ("remove_blue", "b2* g2*"),
        ("remove_blue", "b2 g1*"),
        ("remove_blue", "b2 g2!*"),
    ],
)
def test_a_stage_that_finds_something_else_refuses(stage: str, now: str) -> None:
    with pytest.raises(AzureError):
        after(stage, state(now), NEW)


COLOURS = ["", "1", "1!", "2", "2!", "3"]
STATES = sorted(
    {
        " ".join(part for part in (blue and f"b{blue}{served[0]}", green and f"g{green}{served[1]}") if part)
        for blue, green, served in itertools.product(COLOURS, COLOURS, itertools.product(("", "*"), repeat=2))
    }
)


@pytest.mark.parametrize("stage", STAGES)
def test_the_rules_hold_in_every_state(stage: str) -> None:
    tried = 0
    for now in map(state, STATES):
        try:
            then = after(stage, now, NEW) or now
        except AzureError:
            assert stage != "rollback"
            continue
        tried += 1
        before, later = ({BLUE: one.blue, GREEN: one.green} for one in (now, then))
        for colour in then.serving - now.serving:
            found = later[colour]
            assert found
            assert found.ready
            assert before[colour] == found, "it was there, and answered, before it gets traffic"
        assert all(before[colour] == later[colour] for colour in now.serving)
        assert bool(then.serving) >= bool(now.serving)
        assert after(stage, then, NEW) in (None, then), "once more changes nothing"
    assert tried > 5


def renamed(of: State) -> str:
    """Call the version that was released 1, for the next release."""
    return text(of).replace("2", "1")


def test_whatever_fails_the_next_release_succeeds() -> None:
    """Follow each way in which releases can fail one after another, until no new state comes up."""
    to_do, known = ["", "g1*"], set()
    while to_do:
        start = to_do.pop()
        if start in known:
            continue
        known.add(start)
        now = state(start)
        for name in RELEASE:
            then = after(name, now, NEW) or now
            for failed in (now, then, *broken(name, then)):
                to_do.append(renamed(after("rollback", failed, NEW) or failed))
                to_do.append(renamed(failed))  # the rollback did not come about
            now = ready(then)
        assert text(now) == "g2*", f"from {start!r}"
    assert len(known) >= 8


def broken(name: str, then: State) -> list[State]:
    """Return the state in which what a stage installs does not get ready."""
    installed = STAGES[name].installs
    colour = getattr(then, installed) if installed else None
    return [then._replace(**{installed: colour._replace(ready=False)})] if installed and colour else []


def ready(of: State) -> State:
    return of._replace(blue=of.blue and of.blue._replace(ready=True), green=of.green and of.green._replace(ready=True))
