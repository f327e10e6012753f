from IPython.display import HTML, Markdown, display
