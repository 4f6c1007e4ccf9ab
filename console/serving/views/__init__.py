"""Pages of what serves: the split of the traffic, and the playground."""
