"""What `bench.overload` is made of: the lines that are compared, the scenarios they are put through, the chart."""
