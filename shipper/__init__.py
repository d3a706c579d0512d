"""The shipper: reads a range of the backlog, turns it into what the destination takes, delivers it."""
