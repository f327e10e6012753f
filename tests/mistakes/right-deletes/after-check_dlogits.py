del counts, counts_sum, norm_logits
