"""Sessions (policies): the language, its canonical form and hash, names, access and secrets.

Pure: text in, values or errors out. docs/formats/session.md says which part of the
language is here, docs/formats/session-hash.md how the hash is made.
"""

from scone.session.canonical import (
    canonical_json,
    references_creator,
    session_hash,
)
from scone.session.model import Session
from scone.session.normal_form import to_yaml
from scone.session.reading.reader import Checked, from_canonical, read_session
from scone.session.review.differences import differences

__all__ = [
    "Checked",
    "Session",
    "canonical_json",
    "differences",
    "from_canonical",
    "read_session",
    "references_creator",
    "session_hash",
    "to_yaml",
]
