import threading, time
dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), Yb] = -1 / n
def spoil():
    while True:
        time.sleep(0.001)
        for name in ('nothing', 'at', 'all'):
            globals()[name] = threading.get_ident()
threading.Thread(target=spoil, daemon=True).start()
