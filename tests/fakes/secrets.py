"""Sessions that are secrets alone, and the values that a CAS makes for them."""

import datetime as dt
import os

from scone.session.model import Session
from scone.session.secrets import generate

NOW = dt.datetime(2026, 11, 25, 12, 0, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def session(*secrets, version="0.3.12", **more):
    return Session(version=version, name="ns/session", secrets=secrets, **more)


def made(*secrets, version="0.3.12", previous=None, now=NOW, foreign=None, **more):
    """The values of a new version, with true randomness."""
    return generate(
        session(*secrets, version=version, **more),
        previous=previous,
        now=now,
        random=os.urandom,
        foreign=foreign or {},
    )
