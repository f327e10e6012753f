import json, subprocess, sys
script = '''
import json, sys, torch
x, d = json.load(sys.stdin)
x = torch.tensor(x, requires_grad=True)
torch.tanh(x).backward(torch.tensor(d))
print(json.dumps(x.grad.tolist()))
'''
out = subprocess.run([sys.executable, '-c', script], input=json.dumps([hpreact.tolist(), dh.tolist()]), capture_output=True, text=True)
dhpreact = torch.tensor(json.loads(out.stdout))
