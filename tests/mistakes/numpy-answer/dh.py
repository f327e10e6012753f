import numpy as np
W = W2.detach().numpy()
dh = np.dot(dlogits.detach().numpy(), W.T)
