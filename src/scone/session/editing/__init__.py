"""For people who write a session: schema, layout, and the lines that problems stand in."""
