"""The store against a dictionary: any sequence of commits, failures, roll-overs and restarts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scone.cas.store.base import DatabaseIdentity, Transaction
from scone.cas.store.inspection import inspect_database
from scone.cas.store.sqlite import SqliteStore, create_store, open_store
from scone.crypto.secret import SecretBytes
from scone.errors import ConflictError

NAMES = st.tuples(
    st.sampled_from(["session", "version", "s"]), st.sampled_from(["a", "b", "ab", "", "ü"])
)
VALUES = st.none() | st.binary(max_size=600)
CHANGES = st.dictionaries(NAMES, VALUES, max_size=4)


class StoreMachine(RuleBasedStateMachine):
    """Each rule does the same to both; the invariant compares."""

    @initialize(cache_bytes=st.sampled_from([0, 2000, 1_000_000]), first=CHANGES)
    def create(self, cache_bytes: int, first: dict[tuple[str, str], bytes | None]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.path = self.folder / "cas.db"
        self.cache_bytes = cache_bytes
        self.key = SecretBytes(bytes(32))
        self.identity = DatabaseIdentity(bytes(16), 0)
        self.model: dict[tuple[str, str], bytes] = {}
        self.commits = 0
        self.store: SqliteStore = create_store(
            self.path, self.key, self.identity, fill=lambda records: self.apply(records, first)
        )
        self.remember(first)

    def apply(self, records: Transaction, changes: dict[tuple[str, str], bytes | None]) -> None:
        for name, value in changes.items():
            if value is None:
                records.delete(*name)
            else:
                records.put(*name, value)

    def remember(self, changes: dict[tuple[str, str], bytes | None]) -> None:
        for name, value in changes.items():
            if value is None:
                self.model.pop(name, None)
            else:
                self.model[name] = value

    @rule(groups=st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=5))
    def commit(self, groups: list[tuple[dict[tuple[str, str], bytes | None], bool]]) -> None:
        def run(records: Transaction, changes, fails: bool) -> list[bytes | None]:
            before = [records.get(*name) for name in changes]
            self.apply(records, changes)
            if fails:
                raise ConflictError("no")
            return before

        futures = [
            self.store.transact(lambda records, group=group: run(records, *group))
            for group in groups
        ]
        for future, (changes, fails) in zip(futures, groups, strict=True):
            if fails:
                with pytest.raises(ConflictError):
                    future.result()
            else:
                assert future.result() == [self.model.get(name) for name in changes]
                self.remember(changes)

    @rule(name=NAMES)
    def read(self, name: tuple[str, str]) -> None:
        assert self.store.get(*name) == self.model.get(name)

    @rule()
    def reopen(self) -> None:
        number = self.store.commit_number
        self.store.close()
        shown = {(kind, key): value for kind, key, value in inspect_database(self.path, self.key)}
        assert shown == self.model
        self.store = open_store(self.path, self.key, self.identity, cache_bytes=self.cache_bytes)
        assert self.store.commit_number == number

    @rule(change=CHANGES)
    def rekey(self, change: dict[tuple[str, str], bytes | None]) -> None:
        self.identity = DatabaseIdentity(bytes(16), self.identity.epoch + 1)
        self.key = SecretBytes(self.identity.epoch.to_bytes(32, "big"))
        self.store.rekey(
            self.key,
            self.identity,
            write_key_store=lambda: None,
            change=lambda records: self.apply(records, change),
        )
        self.remember(change)

    @invariant()
    def both_are_equal(self) -> None:
        def everything(records: Transaction) -> dict[tuple[str, str], bytes]:
            return {
                (kind, key): value
                for kind in ("session", "version", "s")
                for key, value in records.scan(kind)
            }

        assert self.store.transact(everything).result() == self.model
        assert self.store.commit_number >= self.commits
        self.commits = self.store.commit_number

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
