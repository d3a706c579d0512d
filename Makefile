# So that `make demo` and `make test` work as everybody tries first. Every target is layer.mk's.
include layer.mk
