"""What ships for plugin authors: contract suites, in-memory fakes for every port, a fault proxy."""
