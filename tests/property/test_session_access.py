"""Properties of governance rules: what is counted is what trying every seating finds."""

from itertools import combinations, permutations

from hypothesis import given
from hypothesis import strategies as st

from scone.session.access import Signers, judge
from scone.session.model import Rule, SessionSigner

NAMES = "ABCDE"
signers = st.sets(st.sampled_from(NAMES)).map(frozenset)


@st.composite
def rules(draw, depth=3):
    entries = st.sampled_from(NAMES).map(SessionSigner)
    if depth > 1:
        entries |= rules(depth=depth - 1)
    found = draw(st.lists(entries, min_size=1, max_size=4))
    return Rule(draw(st.none() | st.integers(1, len(found))), tuple(found))


def granted(rule, names):
    asks = Signers(frozenset(names))
    return judge((rule,), asks, creator=None, version="0.3.10", governed=True).granted


def standing(entry, names):
    """Who satisfies an entry, by trying all seatings."""
    if isinstance(entry, SessionSigner):
        return names & {entry.public_key_pem}
    found = [keys for one in entry.entries if (keys := standing(one, names))]
    if entry.at_least is None:
        satisfied = len(found) == len(entry.entries)
    else:
        satisfied = any(
            all(key in keys for key, keys in zip(seats, counted, strict=True))
            for counted in combinations(found, entry.at_least)
            for seats in permutations(sorted(names), entry.at_least)
        )
    return frozenset().union(*found) if satisfied else frozenset()


@given(rules(), signers)
def test_the_count_is_what_trying_every_seating_finds(rule, names):
    assert granted(rule, names) is bool(standing(rule, names))


@given(rules(), signers)
def test_a_rule_never_counts_more_seats_than_signers(rule, names):
    needed = len(rule.entries) if rule.at_least is None else rule.at_least
    if rule.at_least is not None and len(names) < needed:
        assert not granted(rule, names)
    if granted(rule, names) and rule.at_least is not None:
        assert len(standing(rule, names)) >= needed


@given(rules(), signers, signers)
def test_more_signers_never_lose(rule, names, more):
    if granted(rule, names):
        assert granted(rule, names | more)


@given(rules(), signers)
def test_a_signer_without_standing_changes_nothing(rule, names):
    for idle in names - standing(rule, names):
        assert granted(rule, names - {idle}) is granted(rule, names)
