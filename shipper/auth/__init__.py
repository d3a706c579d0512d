"""Who sends: what the head of every try of a request says of it."""
