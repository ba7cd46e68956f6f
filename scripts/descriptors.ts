/**
 * Descriptors of protobuf files for the bundle, as object literals. As protoc-gen-es writes them they are protobuf
 * messages themselves, and reading those took a tenth of the time of a build with nothing to do.
 */
import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { protoCamelCase } from '@bufbuild/protobuf/reflect';
import { base64Decode } from '@bufbuild/protobuf/wire';
import { type DescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Plugin } from 'esbuild';

/** An esbuild plugin that replaces the descriptors in generated files. */
export const descriptors: Plugin = {
  name: 'descriptors',
  setup(build) {
    build.onLoad({ filter: /_pb\.(ts|js)$/ }, ({ path }) => {
      const prototypes = new Map<object, string>();
      const text = readFileSync(path, 'utf8').replace(/\bfileDesc\("([^"]*)"/, (_, base64: string) => {
        const file = fromBinary(FileDescriptorProtoSchema, base64Decode(base64));
        for (const message of file.messageType) nameFields(message);
        return `fileDesc(${literal(file, prototypes)}`;
      });
      const declared = [...prototypes].map(
        ([prototype, name]) => `const ${name} = ${literal(prototype, new Map())};\n`,
      );
      return { contents: declared.join('') + text, loader: path.endsWith('.ts') ? 'ts' : 'js' };
    });
    // What is left to do of the library's `fileDesc`.
    build.onLoad({ filter: /@bufbuild\/protobuf\/dist\/esm\/codegenv2\/file\.js$/ }, () => ({
      contents: `import { createEmbeddedFileRegistry } from '../registry.js';
        export function fileDesc(file, imports = []) {
          file.dependency = imports.map(({ proto }) => proto.name);
          const find = name => imports.find(({ proto }) => proto.name === name);
          return createEmbeddedFileRegistry(file, find).getFile(file.name);
        }`,
    }));
  },
};

/** Sets the names in JSON, which are left out where they follow from the names. */
function nameFields(message: DescriptorProto): void {
  for (const field of message.field) if (field.jsonName === '') field.jsonName = protoCamelCase(field.name);
  for (const nested of message.nestedType) nameFields(nested);
}

/**
 * The source text of a message. Fields with defaults are on the prototype until they are set; objects that share one get
 * it by the name that `prototypes` has for it.
 */
function literal(value: unknown, prototypes: Map<object, string>): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Uint8Array) return `new Uint8Array([${value.join()}])`;
  if (Array.isArray(value)) return `[${value.map(element => literal(element, prototypes)).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined';
  const fields = Object.entries(value).map(([name, field]) => `${JSON.stringify(name)}:${literal(field, prototypes)}`);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (typeof prototype === 'object' && prototype !== null && prototype !== Object.prototype) {
    const name = prototypes.get(prototype) ?? `__defaults${prototypes.size}`;
    prototypes.set(prototype, name);
    fields.unshift(`__proto__:${name}`);
  }
  return `{${fields.join()}}`;
}
