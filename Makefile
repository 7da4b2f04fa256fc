## check: everything that has to be green (formats, vets, builds, tests; as root it installs what it needs)
check:
	.ci/run

## test: the tests, as a user runs them
test:
	go test work

## soak: simulated upgrades with fresh seeds, for SOAK (1h); what fails can be repeated by its seed
SOAK ?= 1h
soak:
	go test ./upgrade/upgradetest -run TestSoak -v -timeout 0 -upgradetest.soak=$(SOAK)

## demo: one server upgrades itself, on real processes
demo:
	go run ./examples/server demo

## bench: the figures of one server, beside their yardsticks (bench/README.md)
bench:
	cd bench && go test -bench . -benchtime 1x -timeout 60m

## help: this list
help:
	@sed -n 's/^## //p' Makefile

.PHONY: check test soak demo bench help
