dprobs = dlogprobs / probs
from IPython.display import SVG, display
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert("student")</script></svg>'))
class Picture:
    def _repr_svg_(self):
        return '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><foreignObject><iframe src="javascript:alert(1)"/></foreignObject></svg>'
    def _repr_html_(self):
        return '<script>alert("student")</script>'
Picture()
