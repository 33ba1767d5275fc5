"""What is expected of the grid: the whole fallback chain, our own forecasts in it, and what keeps both up to date."""
