"""What autograd says about a forward pass, and how an answer compares with it. Needs torch only."""
