"""Evidence of trusted execution: parse, verify (genuine?), appraise (acceptable?).

The words are those of RFC 9334. All modules here are pure functions of bytes,
endorsements, trust anchors and time.
"""
