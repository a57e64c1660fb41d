"""What was read of a session, with the indexes that the rules across its parts need.

Built once for a file: no rule searches a list for each item of another one.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

from scone.documents import Scalar
from scone.session.model import Image, SecretKind, SecretSpec, Service, Volume
from scone.session.reading.collect import Collector


class Parts:
    """What was read, by its position in the file; None where it could not be read."""

    def __init__(
        self,
        c: Collector,
        secrets: Items[SecretSpec | None],
        volumes: Items[Volume | None],
        images: Items[Image | None],
        services: Items[Service | None],
    ) -> None:
        self.secrets = secrets
        self.volumes = volumes
        self.images = images
        self.services = services
        self.by_name = {secret.name: secret for secret in secrets if secret}
        self.by_kind: dict[SecretKind, list[str]] = {}
        for secret in self.by_name.values():
            if secret.kind is not None:
                self.by_kind.setdefault(secret.kind, []).append(secret.name)
        self.volume_names = {volume.name: None for volume in volumes if volume}
        self.all_volumes_read = None not in volumes
        self.images_by_name = {image.name: image for image in images if image}
        self.all_images_read = None not in images
        names = [
            node
            for index, secret in enumerate(secrets)
            if secret is None and isinstance(node := c.nodes.get(f"secrets[{index}].name"), Scalar)
        ]
        self._unreadable = frozenset(node.text for node in names)
        self._any_unreadable = any(map(c.is_unknown, names))

    def is_unreadable(self, name: str) -> bool:
        """Whether the file has, or may have, a secret of this name that has problems of its own."""
        return self._any_unreadable or name in self._unreadable
