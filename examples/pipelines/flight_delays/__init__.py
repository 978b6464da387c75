"""How late will flights leave New York? A Dask pipeline whose every step is kept in a store."""
