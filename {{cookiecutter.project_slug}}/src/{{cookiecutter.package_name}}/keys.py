"""The keys that clients of app.py must send, from the environment variable SCORING_KEYS."""

import hmac

from .program import UserError

Keys = tuple[bytes, ...]


def read(text: str) -> Keys:
    """Read one key, or two separated by a blank while clients go over from one to the next. No key: no check."""
    keys = tuple(text.encode().split())
    if text.strip().startswith("@Microsoft.KeyVault("):
        raise UserError(
            "SCORING_KEYS is a reference that App Service could not follow: give the app's identity the role "
            "Key Vault Secrets User, see that the secret exists, and restart the app."
        )
    if len(keys) > 2:
        raise UserError(f"SCORING_KEYS holds {len(keys)} keys: give one, or two while clients go over to the new one.")
    return keys


def allow(keys: Keys, authorization: bytes) -> bool:
    """Tell whether the header Authorization holds one of the keys. How long that takes tells nothing about them."""
    scheme, _, given = authorization.partition(b" ")
    matches = [hmac.compare_digest(given.strip(), key) for key in keys]
    return scheme.lower() == b"bearer" and any(matches)
