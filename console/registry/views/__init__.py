"""Pages of the registry. Views authorise and translate; what may be done stands in the services."""
