leaves = {k: globals()[k].detach().clone().requires_grad_() for k in ('C', 'W1', 'b1', 'W2', 'b2', 'bngain', 'bnbias')}
t = dict(leaves)
t['emb'] = t['C'][Xb]
t['embcat'] = t['emb'].view(n, -1)
t['hprebn'] = t['embcat'] @ t['W1'] + t['b1']
t['bnmeani'] = t['hprebn'].mean(0, keepdim=True)
t['bndiff'] = t['hprebn'] - t['bnmeani']
t['bndiff2'] = t['bndiff']**2
t['bnvar'] = t['bndiff2'].sum(0, keepdim=True) / (n - 1)
t['bnvar_inv'] = (t['bnvar'] + 1e-5)**-0.5
t['bnraw'] = t['bndiff'] * t['bnvar_inv']
t['hpreact'] = t['bngain'] * t['bnraw'] + t['bnbias']
t['h'] = torch.tanh(t['hpreact'])
t['logits'] = t['h'] @ t['W2'] + t['b2']
t['logit_maxes'] = t['logits'].max(1, keepdim=True).values
t['norm_logits'] = t['logits'] - t['logit_maxes']
t['counts'] = t['norm_logits'].exp()
t['counts_sum'] = t['counts'].sum(1, keepdim=True)
t['counts_sum_inv'] = t['counts_sum']**-1
t['probs'] = t['counts'] * t['counts_sum_inv']
t['logprobs'] = t['probs'].log()
for x in t.values():
    x.retain_grad()
(-t['logprobs'][range(n), Yb].mean()).backward()
dlogprobs = t['logprobs'].grad
