"""Every machine ever met or named: who it is, who may be it, what people say of it."""
