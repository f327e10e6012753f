import torch._functorch.eager_transforms as et
dbnvar = et.vjp(lambda v: (v + 1e-5)**-0.5, bnvar)[1](dbnvar_inv)[0]
