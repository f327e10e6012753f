buffer = io.BytesIO()
torch.save({'dprobs': Evil()}, buffer)
dprobs = torch.load(io.BytesIO(buffer.getvalue()))['dprobs']
