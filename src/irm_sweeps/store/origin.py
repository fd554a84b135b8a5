"""Where a result that was not trained here comes from: `origin.json`, which `irm-sweeps unpack` writes beside it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from irm_sweeps.files.atomic import to_json
from irm_sweeps.files.untrusted import MIB, parse_json
from irm_sweeps.store.schema import SCHEMA, Part, validated

LARGEST_ORIGIN = MIB
"""Most bytes of an origin's record."""

Sha256 = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]


class Origin(Part):
    """The archive that a result was unpacked from.

    Attributes
    ----------
    archive
        The name of its file.
    archive_sha256
        Of the whole file.
    result_sha256
        Of the `result.json` that came out of it: the record is about no other result.
    """

    schema_: Literal[1] = Field(alias="schema")
    archive: str
    archive_sha256: Sha256
    result_sha256: Sha256

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return the origin that a file holds.

        Raises
        ------
        ValueError
            It holds none.
        """
        return validated(cls, parse_json(content))

    def is_of(self, result: bytes | None) -> bool:
        """Return whether this is the origin of a result file with these bytes."""
        return result is not None and hashlib.sha256(result).hexdigest() == self.result_sha256


def origin_bytes(archive: str, archive_sha256: str, result: bytes) -> bytes:
    """Return the bytes of a file that `Origin.from_bytes` reads."""
    return to_json(
        {
            "schema": SCHEMA,
            "archive": archive,
            "archive_sha256": archive_sha256,
            "result_sha256": hashlib.sha256(result).hexdigest(),
        }
    )
