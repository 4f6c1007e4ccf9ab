"""What tests of several folders share. Fixtures stand in the conftest files."""
