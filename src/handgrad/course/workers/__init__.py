"""The processes that grade a class."""
