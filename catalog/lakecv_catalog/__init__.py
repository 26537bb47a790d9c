"""Catalogs: the dataset record's schema and the backends that keep it."""
