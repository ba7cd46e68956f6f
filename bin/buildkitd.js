#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

enableCompileCache();
process.argv.splice(2, 0, 'serve');
await import('../dist/outcrop.js');
