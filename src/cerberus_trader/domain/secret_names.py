"""Which names stand for a secret: what they hold is printed nowhere."""

HIDDEN = "***"
SECRET_WORDS = (
    "secret",
    "password",
    "passphrase",
    "privatekey",
    "apikey",
    "token",
    "mnemonic",
    "seedphrase",
    "authorization",
    "credential",
    "signature",
)
"""A key that contains one of these, _ and - left out, is hidden, but not its name, id or age."""
HARMLESS_ENDS = ("_name", "_id", "_count", "_ms", "_ns", "_hash")


def is_secret_name(name: str) -> bool:
    """Tell whether a key names a secret itself, rather than its name, id or age."""
    lower = name.lower().replace("-", "_")
    bare = lower.replace("_", "")
    return any(word in bare for word in SECRET_WORDS) and not lower.endswith(HARMLESS_ENDS)
