#!/usr/bin/env node
process.argv.splice(2, 0, 'serve');
await import('../dist/outcrop.js');
