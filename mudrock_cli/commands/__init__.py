"""One module per subcommand: parse, compose, say. Only here is anything printed.

What they are composed of lies in the sub-packages.
"""
