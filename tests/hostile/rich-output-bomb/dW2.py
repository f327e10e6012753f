from IPython.display import HTML, display
for number in range(2_000):
    display(HTML('<b>more</b>' * 100))
display(HTML('x' * 100_000_000))
dW2 = h.T @ dlogits
