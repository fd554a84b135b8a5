"""Leave secrets out of text that is stored or printed: passwords in URIs, and values of keys such as `api_key`."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
"""What stands in place of a secret."""

_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)"
_USER_INFO = re.compile(
    _SCHEME
    + r"""(?:
        [^\s/?\#<>]{0,500}  # what stands before the host, as RFC 3986 has it
        | [^\s/?\#:<>]{0,500}:(?!\d{1,5}(?:[/?\#\s'"]|$))[^\s<>]{0,500}  # a password that is not percent-encoded
    )@""",
    re.VERBOSE,
)
_USER_INFO_OF_WORD = re.compile(_SCHEME + r"[^\s/?#:]{0,500}:[^/?#]{0,500}@")
"""The same in one word of a command line or one value, where a password may have spaces in it."""
_NAME = r"(?:token|passw(?:or)?d|passphrase|secret|(?:api|access|secret|private)[_-]?key|credentials?)"
_VALUE = r"""(?:"(?:[^"\\]|\\.){0,500}"|'(?:[^'\\]|\\.){0,500}'|\\"(?:(?!\\").){0,500}\\"|[^\s&'"<>]+)"""
_QUOTED_WORD = re.compile(
    rf"""(?P<quote>['"])(?P<key>[^'"=\s]{{0,200}}{_NAME}=)(?:(?!(?P=quote)).){{1,500}}(?P=quote)""", re.I | re.S
)
_ASSIGNED = re.compile(rf"(?P<key>{_NAME}=){_VALUE}", re.I)
_IN_MAPPING = re.compile(
    rf"""(?P<key>[{{,]\s{{0,99}}\\?['"]?[\w.-]{{0,100}}{_NAME}\\?['"]?\s{{0,9}}:\s{{0,9}}){_VALUE}""", re.I
)
_AUTHORIZATION = re.compile(r"(?P<key>\b(?:Bearer|Basic)\s)[A-Za-z0-9._~+/=-]{8,}")
_WHOLE_WORD = re.compile(rf"(?P<key>[\w.+~/$@:-]*{_NAME}=).+", re.I | re.S)
_SECRET_KEY = re.compile(rf"[\w.-]*{_NAME}", re.I)
# Lengths have bounds so that a text of any length and content takes time in proportion to its length.


def redacted(text: str) -> str:
    """Return text without secrets: each is replaced by `***`.

    Secrets are the user info of a URI (`http://user:password@host`), the value of a key that ends in `token`,
    `password`, `secret`, `api_key` or the like (`logger.api_key=...`, `"password": "..."`), and the credentials of
    an `Authorization` header.
    """
    if "://" in text:
        text = _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _QUOTED_WORD.sub(rf"\g<quote>\g<key>{HIDDEN}\g<quote>", text)
    for pattern in (_ASSIGNED, _IN_MAPPING, _AUTHORIZATION):
        text = pattern.sub(rf"\g<key>{HIDDEN}", text)
    return text


def redacted_words(words: Iterable[str]) -> list[str]:
    """Return the words of a command line without secrets; of `password=...` the rest of the word is one."""
    return [_redacted_word(word) for word in words]


def _redacted_word(word: str) -> str:
    if match := _WHOLE_WORD.fullmatch(word):
        return f"{match['key']}{HIDDEN}"
    return redacted(_USER_INFO_OF_WORD.sub(rf"\g<scheme>{HIDDEN}@", word))


def has_user_info(value: str) -> bool:
    """Return whether a value of a config is a URI, or has one in it, with a user's name or password."""
    return bool(_USER_INFO.search(value) or _USER_INFO_OF_WORD.match(value))


def is_secret_key(key: str) -> bool:
    """Return whether the value of a key of this name is a secret, e.g. that of `api_key`."""
    return bool(_SECRET_KEY.fullmatch(key))
