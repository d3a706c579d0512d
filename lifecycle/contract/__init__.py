"""What the three processes share: settings, messages, backlog, log. Imports nothing else of ours."""
