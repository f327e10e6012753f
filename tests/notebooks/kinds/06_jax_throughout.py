# %%
import jax
import jax.numpy as jnp
# %%
key = jax.random.PRNGKey(0)
X = jax.random.normal(key, (8, 4))
W = jax.random.normal(key, (4, 3))
def f(W):
    return jnp.mean((X @ W) ** 2)
loss, true_dW = jax.value_and_grad(f)(W)
# %%
out = X @ W
dout = 2 * out / out.size
dW = X.T @ dout
print(jnp.allclose(dW, true_dW))
