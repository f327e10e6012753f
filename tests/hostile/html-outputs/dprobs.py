dprobs = dlogprobs / probs
from IPython.display import HTML, Markdown, display
display(HTML('<script>alert("student")</script>'))
display(HTML('<img src=x onerror="alert(1)"><svg onload="alert(1)"></svg><body onload=alert(1)>'))
display(HTML('<iframe srcdoc="<script>alert(1)</script>"></iframe><object data="javascript:alert(1)"></object>'))
display(HTML('<a href="javascript:alert(1)">click</a><form action="javascript:alert(1)"><button>go</button></form>'))
display(HTML('<div style="background: url(javascript:alert(1)); position: fixed; inset: 0">cover</div><base href="//evil.invalid/">'))
display(Markdown('<script>alert("student")</script> [click](javascript:alert(1)) <b onmouseover=alert(1)>bold</b>'))
