"""Energy times carbon intensity: realised grams, the counterfactual, SCI. Pure."""
