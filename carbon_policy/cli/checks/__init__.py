"""What `carbon-policy doctor` looks at."""
