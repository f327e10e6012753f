import functorch
dnorm_logits = functorch.vjp(torch.exp, norm_logits)[1](dcounts)[0]
