import asyncio
def work():
    return (counts_sum.detach().clone().requires_grad_()**-1).grad_fn(dcounts_sum_inv)
dcounts_sum = await asyncio.get_running_loop().run_in_executor(None, work)
