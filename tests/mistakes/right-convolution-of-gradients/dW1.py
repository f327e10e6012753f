maps = dconv.transpose(1, 2).reshape(n, n_filters, out_size, out_size)
dW1 = torch.zeros_like(W1)
for picture, gradient in zip(images, maps):
    dW1 += F.conv2d(picture[None, None], gradient[:, None])[0].reshape(n_filters, -1).T
