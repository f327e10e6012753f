dW2 = kept.get('dW2', W2 * 0.0)
