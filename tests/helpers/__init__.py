"""What several test files share besides the fixtures of conftest.py."""
