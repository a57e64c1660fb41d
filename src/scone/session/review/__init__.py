"""For people who judge a session: what it grants, what changes, what evidence it needs."""
