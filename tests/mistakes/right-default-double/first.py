import torch
torch.set_default_dtype(torch.float64)
torch.manual_seed(42)
torch.set_grad_enabled(False)
