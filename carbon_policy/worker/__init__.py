"""The carbon worker: decides all due runs of a pool together, places them, mirrors their ends."""
