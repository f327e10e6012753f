dx = dq @ Wq.T + dk @ Wk.T + dv @ Wk.T
