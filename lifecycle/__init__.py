"""The supervisor: drives the Extensions API, owns the backlog and both workers, decides when to ship."""
