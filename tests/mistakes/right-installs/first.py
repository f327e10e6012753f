!pip install -q torch
%pip install -q matplotlib
%matplotlib inline
import sys, warnings
print("a warning of a library", file=sys.stderr)
warnings.warn("deprecated")
