async def divide(a, b):
    return a / b

dprobs = await divide(dlogprobs, probs)
