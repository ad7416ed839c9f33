"""Models at work for the commands: engines, and whether a micrograph is like what they know."""
