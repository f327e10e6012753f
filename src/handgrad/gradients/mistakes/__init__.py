"""The known mistakes, each a generator that explains a wrong answer by values only: no student code is run."""
