dx = dq @ Wq.T + dv @ Wv.T
