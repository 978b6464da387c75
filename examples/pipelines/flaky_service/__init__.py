"""A service that fails, limits its rate and recovers, asked with and without a retry budget."""
