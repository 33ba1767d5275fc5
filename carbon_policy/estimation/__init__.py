"""Past runs in, the duration and energy of the next one out. Pure; scikit-learn underneath."""
