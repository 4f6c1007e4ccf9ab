"""The REST edge of people, keys and the record: translate, call a service, show the result."""
