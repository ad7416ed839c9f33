"""One module per subcommand: parse, compose, say. Only here is anything printed."""
