SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: demo test bench build format proto clean

# Not `npm ci`: it refuses a lock file that lacks packages for other platforms, which not every registry has.
node_modules: package.json package-lock.json
	npm install --no-save --no-audit --no-fund --loglevel=error
	touch node_modules

# What tests and the demo run against: an OCI runtime, a registry, and other people's readers of what we write.
.PHONY: system
system:
	bash scripts/system-packages.sh

build: node_modules
	npm run --silent build

demo: system build
	bash examples/my-api/demo.sh

test: system build
	npm run --silent test

bench: system build
	npm run --silent bench

format: node_modules
	npm run --silent format

# Writes src/wire/proto/gen anew from proto/*.proto.
proto: node_modules
	npx --yes @bufbuild/buf@1.75.0 generate

clean:
	rm -rf dist node_modules
