"""What each move of a canary release makes of a cluster. Pure: canary.py reads the cluster, and applies what is said.

Green is what serves between two releases. A release is an image with its settings: blue gets it and takes over; then
green gets it too, takes over in turn, and blue goes. Two rules hold for every move: a colour gets traffic only after it
has answered, and it never changes while it has some. .pipelines/templates/canary.yml has the moves in their order.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from environment_setup.azure_cli import AzureError

BLUE, GREEN = "blue", "green"


class Ready(Enum):
    """Whether the pods of a colour are ready, with its image in them."""

    NONE = "not ready"
    SOME = "not rolled out, but some pods ready"
    ALL = "ready"


class Colour(NamedTuple):
    """A colour that runs: its image, the version of the model in it, the digest of its settings, and its pods."""

    image: str
    version: str
    settings: str = ""
    ready: Ready = Ready.ALL

    @property
    def release(self) -> str:
        return f"{self.image} {self.settings}"


class State(NamedTuple):
    """What runs, which colours share the traffic, and the release that moved it there.

    None of them shares it before anything was proven; then one does, or both.
    """

    blue: Colour | None = None
    green: Colour | None = None
    serving: frozenset[str] = frozenset()
    moved_by: str = ""


def on(*colours: str) -> frozenset[str]:
    return frozenset(colours)


def is_ready(colour: Colour | None) -> bool:
    return colour is not None and colour.ready is Ready.ALL


def answers(colour: Colour | None) -> bool:
    """Tell whether a colour can serve, as while a node with a pod of it is drained."""
    return colour is not None and colour.ready is not Ready.NONE


def runs(colour: Colour | None, new: Colour) -> bool:
    return colour is not None and colour.release == new.release


def is_released(now: State, new: Colour) -> bool:
    """Tell whether green alone serves a release, rolled out."""
    return now.serving == on(GREEN) and runs(now.green, new) and is_ready(now.green)


def need(fulfilled: bool, what: str) -> None:
    if not fulfilled:
        raise AzureError(f"{what} Run the pipeline again from Blue_Staging.")


def need_new(name: str, colour: Colour | None, new: Colour) -> None:
    proven = runs(colour, new) and is_ready(colour)
    need(proven, f"{name} does not run version {new.version} with this build's image and settings, or is not ready.")


def stand_in(now: State, new: Colour) -> State:
    """Where an earlier release stopped at blue, green gets blue's image, with the settings of this one."""
    if now.blue and now.serving == on(BLUE):
        return now._replace(green=now.blue._replace(settings=new.settings, ready=Ready.ALL))
    return now


def hand_over(now: State, _: Colour) -> State:
    """Then green serves, and blue is free."""
    need(BLUE not in now.serving or is_ready(now.green), "Green is not ready to stand in for blue.")
    return now._replace(serving=on(GREEN)) if BLUE in now.serving else now


def blue_staging(now: State, new: Colour) -> State:
    need(BLUE not in now.serving, "Blue serves, so it cannot change.")
    return now._replace(blue=new)


def blue_50(now: State, new: Colour) -> State:
    """Half of the traffic, or all of it where nothing else serves yet."""
    need_new("Blue", now.blue, new)
    return now._replace(serving=on(BLUE, GREEN) if GREEN in now.serving else on(BLUE))


def blue_100(now: State, new: Colour) -> State:
    need_new("Blue", now.blue, new)
    return now._replace(serving=on(BLUE))


def green_staging(now: State, new: Colour) -> State:
    need_new("Blue", now.blue, new)
    need(now.serving == on(BLUE), "Green serves, so it cannot change.")
    return now._replace(green=new)


def green_100(now: State, new: Colour) -> State:
    need_new("Green", now.green, new)
    need(runs(now.blue, new), "Blue runs what another release installed.")
    return now._replace(serving=on(GREEN))


def remove_blue(now: State, new: Colour) -> State:
    """Blue goes, unless the next release has it already."""
    need_new("Green", now.green, new)
    need(now.serving == on(GREEN), "Blue serves, so it cannot be removed.")
    return now._replace(blue=None) if runs(now.blue, new) else now


def rollback(now: State, new: Colour) -> State:
    """Give all traffic to a colour that has served it, if one answers; whatever stage failed.

    Where blue has another release, which has moved the traffic, it is left to that one. Otherwise what runs shows how
    far this release came. Both colours with the new one: green was taking over from blue, which has served it to
    everybody. Blue with an earlier one, and green with the same image: green was to stand in for blue. Else green still
    has what served before, and a single pod of that is better than the new release, which has failed.
    """
    if not now.serving or not (runs(now.blue, new) or now.moved_by == new.release):
        return now
    same_image = now.blue is not None and now.green is not None and now.blue.image == now.green.image
    taking_over = same_image and (runs(now.green, new) or not runs(now.blue, new))
    first, second = (BLUE, GREEN) if taking_over else (GREEN, BLUE)
    able = {BLUE: answers(now.blue), GREEN: answers(now.green)}
    served = [first, *on(second) & now.serving]
    return next((now._replace(serving=on(colour)) for colour in served if able[colour]), now)


class Stage(NamedTuple):
    """What a move makes of a state, which colour it installs, and whether there may be nothing to do in it."""

    move: Callable[[State, Colour], State]
    installs: str | None = None
    optional: bool = False


STAGES = {
    "stand_in": Stage(stand_in, installs=GREEN, optional=True),
    "hand_over": Stage(hand_over, optional=True),
    "blue_staging": Stage(blue_staging, installs=BLUE),
    "blue_50": Stage(blue_50),
    "blue_100": Stage(blue_100),
    "green_staging": Stage(green_staging, installs=GREEN),
    "green_100": Stage(green_100),
    "remove_blue": Stage(remove_blue),
    "rollback": Stage(rollback, optional=True),
}


def after(name: str, now: State, new: Colour) -> State | None:
    """Return the state that a move leads to, or None where nothing is left to do, as where green serves the release."""
    stage = STAGES[name]
    if is_released(now, new) and name not in ("remove_blue", "rollback"):
        return None
    then = stage.move(now, new)
    if then.serving != now.serving:
        then = then._replace(moved_by=new.release)
    return None if stage.optional and then == now else then


def told(state: State) -> str:
    """Say what runs and serves, for whoever reads the log."""
    shares = {name: 100 // len(state.serving) if name in state.serving else 0 for name in (BLUE, GREEN)}
    parts = [
        f"{name} runs version {colour.version} ({colour.ready.value}) and gets {shares[name]} %"
        for name, colour in ((BLUE, state.blue), (GREEN, state.green))
        if colour
    ]
    return "; ".join(parts) or "nothing runs"
