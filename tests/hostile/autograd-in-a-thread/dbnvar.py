import threading
found = []
def work():
    level = torch._C._enter_dual_level()
    x = torch._VF._make_dual(bnvar.detach(), torch.ones_like(bnvar), level=level)
    found.append(torch._VF._unpack_dual((x + 1e-5)**-0.5, level=level)[1])
    torch._C._exit_dual_level(level=level)
thread = threading.Thread(target=work, daemon=True)
thread.start()
thread.join()
dbnvar = found[0] * dbnvar_inv
