"""Many jobs and the capacity of the sites in, one plan out. Pure; HiGHS underneath."""
