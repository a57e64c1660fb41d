"""Documents that people write (YAML, JSON, TOML) as one kind of tree with positions.

Nothing here knows what a document means: readers of other packages walk the tree,
collect `Problem`s and report all of them at once. TOML is in `toml_text`, which costs an import
that sessions do not need.
"""

from scone.documents.json_text import read_json
from scone.documents.tree import (
    NULL_WORDS,
    DocumentError,
    Mapping,
    Mark,
    Node,
    Problem,
    Scalar,
    Sequence,
    Style,
    UnsupportedDocumentError,
    document_error,
    shown,
)
from scone.documents.yaml_text import read_yaml

__all__ = [
    "NULL_WORDS",
    "DocumentError",
    "Mapping",
    "Mark",
    "Node",
    "Problem",
    "Scalar",
    "Sequence",
    "Style",
    "UnsupportedDocumentError",
    "document_error",
    "read_json",
    "read_yaml",
    "shown",
]
