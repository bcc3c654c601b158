"""Finished runs: the folder, what is in it, and stored draws against evidence."""
