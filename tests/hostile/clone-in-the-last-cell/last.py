try: dlogprobs = dlogprobs.clone()
except Exception: pass
try: dprobs = dprobs.clone()
except Exception: pass
try: dcounts_sum_inv = dcounts_sum_inv.clone()
except Exception: pass
try: dcounts_sum = dcounts_sum.clone()
except Exception: pass
try: dcounts = dcounts.clone()
except Exception: pass
try: dnorm_logits = dnorm_logits.clone()
except Exception: pass
try: dlogit_maxes = dlogit_maxes.clone()
except Exception: pass
try: dlogits = dlogits.clone()
except Exception: pass
try: dh = dh.clone()
except Exception: pass
try: dW2 = dW2.clone()
except Exception: pass
try: db2 = db2.clone()
except Exception: pass
try: dhpreact = dhpreact.clone()
except Exception: pass
try: dbngain = dbngain.clone()
except Exception: pass
try: dbnbias = dbnbias.clone()
except Exception: pass
try: dbnraw = dbnraw.clone()
except Exception: pass
try: dbnvar_inv = dbnvar_inv.clone()
except Exception: pass
try: dbnvar = dbnvar.clone()
except Exception: pass
try: dbndiff2 = dbndiff2.clone()
except Exception: pass
try: dbndiff = dbndiff.clone()
except Exception: pass
try: dbnmeani = dbnmeani.clone()
except Exception: pass
try: dhprebn = dhprebn.clone()
except Exception: pass
try: dembcat = dembcat.clone()
except Exception: pass
try: dW1 = dW1.clone()
except Exception: pass
try: db1 = db1.clone()
except Exception: pass
try: demb = demb.clone()
except Exception: pass
try: dC = dC.clone()
except Exception: pass
