#!/usr/bin/env node
// An older Node cannot read the bundle, so that it has to be told before.
const oldest = 24;
if (Number(process.versions.node.split('.')[0]) < oldest) {
  console.error(`outcrop needs Node.js ${oldest} or newer. This is ${process.version} (${process.execPath}).`);
  process.exitCode = 1;
} else {
  await import('../dist/outcrop.js');
}
