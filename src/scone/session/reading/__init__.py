"""From text to a checked session: every key, every rule, every warning, with its place."""
