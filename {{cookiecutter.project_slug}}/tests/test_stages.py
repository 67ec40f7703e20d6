"""Which colour runs and serves which version, after each success and each failure of a canary release."""

import itertools
import re

import pytest
from deployment.aks.stages import BLUE, GREEN, STAGES, Colour, Ready, State, after, on, runs
from environment_setup.azure_cli import AzureError

NEW = Colour("image-2", "2", "settings")
RELEASE = [name for name in STAGES if name != "rollback"]


READY = {"!": Ready.NONE, "~": Ready.SOME, "": Ready.ALL}
MARKS = {ready: mark for mark, ready in READY.items()}


def state(text: str) -> State:
    """Read `b2! g1~* by 1`: blue runs version 2, no pod of it is ready; green runs version 1, with some of its pods.

    Green gets the traffic, which the release of version 1 has moved there; or version 2's, where nothing is said of it.
    `2'` is version 2 with other settings.
    """
    colours, _, moved_by = text.partition(" by ")
    found = {name: marks for name, *marks in re.findall(r"([bg])(\d'?)([!~]?)([*]?)", colours)}
    blue, green = (release(found[name][0], READY[found[name][1]]) if name in found else None for name in "bg")
    serving = frozenset(colour for colour in (BLUE, GREEN) if colour[0] in found and found[colour[0]][2])
    return State(blue, green, serving, release(moved_by or "2").release)


def release(name: str, ready: Ready = Ready.ALL) -> Colour:
    return Colour(f"image-{name[0]}", name[0], "other settings" if name[1:] else "settings", ready)


def text(of: State) -> str:
    parts = []
    for name, colour in ((BLUE, of.blue), (GREEN, of.green)):
        if colour:
            other = "'" if colour.settings == "other settings" else ""
            parts.append(f"{name[0]}{colour.version}{other}{MARKS[colour.ready]}{'*' if name in of.serving else ''}")
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
    ("b1* g0 by 1", "stand_in", "b1* g1", "b1* g1"),
    ("b1* g1! by 1", "stand_in", "b1* g1", "b1* g1"),
    ("b1~* g1! by 1", "stand_in", "b1~* g1", "b1~* g1"),
    ("b1* g1 by 1", "hand_over", "b1 g1*", "b1* g1"),
    ("b1~* g1 by 1", "hand_over", "b1~ g1*", "b1~* g1"),
    ("b1 g1*", "blue_staging", "b2 g1*", "b2 g1*"),
    ("b1'* g0 by 1'", "stand_in", "b1'* g1", "b1'* g1"),
    ("b1'* g1 by 1'", "hand_over", "b1' g1*", "b1'* g1"),
]
OTHER_SETTINGS = [  # and the same image
    ("g2'*", "stand_in", "g2'*", "g2'*"),
    ("g2'*", "blue_staging", "b2 g2'*", "b2 g2'*"),
    ("b2 g2'*", "blue_50", "b2* g2'*", "b2 g2'*"),
    ("b2* g2'*", "blue_100", "b2* g2'", "b2 g2'*"),
    ("b2* g2'", "green_staging", "b2* g2", "b2* g2"),
    ("b2* g2", "green_100", "b2 g2*", "b2* g2"),
]


@pytest.mark.parametrize(("now", "stage", "then", "back"), [*LATER, *FIRST, *AFTER_A_FAILURE, *OTHER_SETTINGS])
def test_each_stage_leads_to_one_state_and_a_rollback_to_another(now: str, stage: str, then: str, back: str) -> None:
    led = after(stage, state(now), NEW) or state(now)

    assert text(led) == then
    assert text(after("rollback", led, NEW) or led) == back


@pytest.mark.parametrize(
    ("failed", "back"),
    [
        ("b2! g1*", "b2! g1*"),  # blue does not start
        ("b2!* g1*", "b2! g1*"),  # blue breaks down under half of the traffic
        ("b2!* g1", "b2! g1*"),  # under all of it
        ("b2* g1~*", "b2 g1~*"),  # a node with one of green's pods is drained meanwhile
        ("b2* g1~", "b2 g1~*"),
        ("b2~* g1~*", "b2~ g1~*"),
        ("b2* g1!", "b2* g1!"),  # green has broken down meanwhile: blue has all of it, and is ready
        ("b2* g1!*", "b2* g1!"),
        ("b2~* g1!*", "b2~* g1!"),  # or answers at least
        ("b2 g1!*", "b2 g1!*"),  # but was not proven
        ("b2* g2!", "b2* g2!"),  # green does not start with the new image
        ("b2 g2!*", "b2* g2!"),  # green breaks down under all of it
        ("b2~ g2*", "b2~* g2"),  # or does not answer as it should
        ("b2~ g2~*", "b2~* g2~"),
        ("b2! g2*", "b2! g2*"),  # blue has gone: green stays
        ("b2!*", "b2!*"),  # there is nothing else
        ("b2!", "b2!"),
        ("b1* g1!", "b1* g1!"),  # green does not start in blue's place
        ("b1 g1*", "b1* g1"),  # green answers wrongly in blue's place, which has the same
        ("b1~ g1*", "b1~* g1"),
        ("b1 g1!*", "b1* g1!"),  # or breaks down there
        ("b1! g1*", "b1! g1*"),
        ("b1 g1* by 1", "b1 g1*"),  # an earlier release did not remove blue
        ("b1* g3* by 3", "b1* g3*"),  # what runs is another release's: it is left to that one
        ("b3* g1* by 3", "b3* g1*"),
        ("b3 g3* by 3", "b3 g3*"),
        ("b3 g3!* by 3", "b3 g3!*"),
        ("b3* g2* by 3", "b3* g2*"),
        ("b3* g2!* by 3", "b3* g2!*"),
        ("b2'* g1* by 2'", "b2'* g1*"),
        ("b2* g2'!", "b2* g2'!"),  # the former settings have broken down meanwhile
        ("b2 g1", "b2 g1"),  # nobody served
    ],
)
def test_a_rollback_finds_what_has_served(failed: str, back: str) -> None:
    assert moved("rollback", failed) == back


def test_who_moved_the_traffic_last_is_known() -> None:
    now = state("b1* g1 by 1")
    handed_over = after("hand_over", now, NEW)
    assert handed_over
    staged = after("blue_staging", handed_over, release("3"))
    assert staged

    movers = [one.moved_by for one in (now, handed_over, staged)]
    assert movers == [release("1").release, NEW.release, NEW.release]


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
    now, overtaken, other = state(waits), False, release("3")
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


@pytest.mark.parametrize("mark", ["!", "~"])
def test_an_image_that_serves_but_is_not_ready_is_installed_again(mark: str) -> None:
    assert moved("blue_staging", f"g2{mark}*") == f"b2 g2{mark}*"


@pytest.mark.parametrize(
    ("stage", "now"),
    [
        ("hand_over", "b1* g1!*"),
        ("hand_over", "b1* g1~"),
        ("blue_staging", "b1*"),
        ("blue_staging", "b1* g1*"),
        ("blue_50", "g1*"),
        ("blue_50", "b2! g1*"),
        ("blue_50", "b2~ g1*"),
        ("blue_50", "b3 g1*"),
        ("blue_100", "b3* g1*"),
        ("blue_100", "b2~* g1*"),
        ("green_staging", "b2 g1*"),
        ("green_staging", "b2* g1*"),
        ("green_staging", "b3* g1"),
        ("green_staging", "b2~* g1"),
        ("green_100", "b2* g1"),
        ("green_100", "b2* g2!"),
        ("green_100", "b2* g2~"),
        ("green_100", "b3* g2*"),
        ("remove_blue", "b2* g2"),
        ("remove_blue", "b2* g2*"),
        ("remove_blue", "b2 g1*"),
        ("remove_blue", "b2 g2!*"),
        ("remove_blue", "b2 g2~*"),
    ],
)
def test_a_stage_that_finds_something_else_refuses(stage: str, now: str) -> None:
    with pytest.raises(AzureError):
        after(stage, state(now), NEW)


COLOURS = ["", "1", "1~", "1!", "2", "2~", "2!", "2'", "3"]
STATES = sorted(
    {
        " ".join(part for part in (blue and f"b{blue}{served[0]}", green and f"g{green}{served[1]}", "by", by) if part)
        for blue, green, served, by in itertools.product(
            COLOURS, COLOURS, itertools.product(("", "*"), repeat=2), "123"
        )
    }
)


@pytest.mark.parametrize("stage", STAGES)
def test_the_rules_hold_in_every_state(stage: str) -> None:
    tried = 0
    enough = (Ready.ALL, Ready.SOME) if stage == "rollback" else (Ready.ALL,)
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
            assert found.ready in enough
            assert before[colour] == found, "it was there, and answered, before it gets traffic"
        assert all(before[colour] == later[colour] for colour in now.serving)
        assert bool(then.serving) >= bool(now.serving)
        assert then.moved_by == (now.moved_by if then.serving == now.serving else NEW.release)
        assert after(stage, then, NEW) in (None, then), "once more changes nothing"
    assert tried > 5


def able(of: State) -> set[str]:
    """Return the colours that have a pod which answers."""
    colours = {BLUE: of.blue, GREEN: of.green}
    return {name for name, colour in colours.items() if colour and colour.ready is not Ready.NONE}


def test_a_rollback_prefers_the_former_release_as_long_as_a_pod_of_it_answers() -> None:
    tried = 0
    for now in map(state, STATES):
        if now.serving and runs(now.blue, NEW) and not runs(now.green, NEW) and GREEN in able(now):
            tried += 1
            assert (after("rollback", now, NEW) or now).serving == on(GREEN), text(now)
    assert tried > 5


def test_a_rollback_of_its_own_traffic_ends_where_somebody_answers_if_anybody_did() -> None:
    tried = 0
    for now in map(state, STATES):
        if now.moved_by == NEW.release and now.serving & able(now):
            tried += 1
            assert (after("rollback", now, NEW) or now).serving <= able(now), text(now)
    assert tried > 5


def renamed(of: State) -> str:
    """Call the version that was released 1, for the next release."""
    return f"{text(of).replace('2', '1')} by 1"


def test_whatever_fails_the_next_release_succeeds() -> None:
    """Follow each way in which releases can fail one after another, until no new state comes up."""
    to_do, known = ["", "g1*", "g1'*"], set()
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
    if not installed or not colour:
        return []
    return [then._replace(**{installed: colour._replace(ready=ready)}) for ready in (Ready.NONE, Ready.SOME)]


def ready(of: State) -> State:
    blue, green = (one and one._replace(ready=Ready.ALL) for one in (of.blue, of.green))
    return of._replace(blue=blue, green=green)
