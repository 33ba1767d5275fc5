"""Carbon-intensity sources, each a Prefect block; what they say is checked before it is believed."""
