"""Say in *Plan*, before anybody approves, what costs more and what a person has to do."""

PRICES = "https://azure.microsoft.com/pricing/details/container-registry/"


def notices(premium: bool, unassigned: bool) -> list[str]:
    """Return what to say of the registry's price, and of targets that pull and are not given the role for it."""
    price = f"ACI asks for a Premium container registry, which costs more than a Standard one: {PRICES}"
    roles = "Before the first release, somebody who may give roles gives AcrPull, as docs/infrastructure.md shows."
    return [sentence for sentence, holds in ((price, premium), (roles, unassigned)) if holds]
