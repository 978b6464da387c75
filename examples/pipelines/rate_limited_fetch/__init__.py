"""Pages fetched by many workers, all of them together no faster than one limit allows."""
