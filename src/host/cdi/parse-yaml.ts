import { parse } from 'yaml';

/**
 * Reads YAML 1.1, as Go does. A module of its own, to be loaded when a description is: bundled, CommonJS that is imported on
 * demand has no named exports.
 * @throws YAMLParseError
 */
export function parseYaml(text: string): unknown {
  return parse(text, { version: '1.1', maxAliasCount: 100, logLevel: 'error' });
}
