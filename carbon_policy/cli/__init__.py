"""`carbon-policy`: one module a command. What is heavy is imported inside the commands, so that help is instant."""
