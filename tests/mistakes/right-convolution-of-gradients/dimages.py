maps = dconv.transpose(1, 2).reshape(n, n_filters, out_size, out_size)
filters = W1.T.reshape(n_filters, 1, kernel_size, kernel_size)
dimages = F.conv_transpose2d(maps, filters)[:, 0]
