import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { outcropRoot } from '../../host/config/paths.ts';
import type { BuildSummary } from '../../insight/history/build-record.ts';
import { reportPage } from '../../insight/report/page.ts';
import { type ReportLayer, reportData } from '../../insight/report/report-data.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { hexOf, isDigest } from '../../wire/oci/digest.ts';
import { UsageError } from './errors.ts';
import { findBuild, openBuildHistory } from './open-history.ts';
import { stepLabel } from './step-selector.ts';

/** Flags of `outcrop report`. */
export interface ReportFlags {
  readonly output: string;
  readonly against?: string;
}

/**
 * Writes the page of a build; returns what to print. @param now milliseconds since the epoch
 * @throws UsageError for a build that there is not
 */
export async function runReport(
  name: string | undefined,
  { output, against }: ReportFlags,
  root: string = outcropRoot(),
  now: number = Date.now(),
): Promise<string> {
  using opened = openBuildHistory(root);
  if (opened === undefined) throw new UsageError('nothing was built on this machine yet');
  const build = findBuild(opened.history, name);
  const past = against === undefined ? undefined : findBuild(opened.history, against);
  const page = reportPage(
    reportData({
      context: opened.catalogue(opened.explain(build, past), now),
      layers: layersOf(build, rootLayout(root).content),
      log: step => opened.history.log(build.number, step),
      labelOf: stepLabel,
    }),
  );
  if (output === '-') return page;
  await writeFile(output, page);
  return `${output}\n`;
}

type Json = { readonly [member: string]: unknown };

/** The layers of the image that a build made; none of an index, and where the store does not have it any more. */
function layersOf({ response }: BuildSummary, content: string): ReportLayer[] {
  const manifest = readJson(content, response?.['containerimage.digest']);
  const config = readJson(content, (manifest?.['config'] as Json | undefined)?.['digest']);
  const history = Array.isArray(config?.['history']) ? (config['history'] as Json[]) : [];
  const makers = history.filter(entry => entry['empty_layer'] !== true);
  const layers = Array.isArray(manifest?.['layers']) ? (manifest['layers'] as Json[]) : [];
  return layers.map((layer, index) => {
    const by = makers[index]?.['created_by'];
    return {
      digest: String(layer['digest']),
      size: Number(layer['size']),
      ...(typeof by === 'string' ? { by } : {}),
    };
  });
}

function readJson(content: string, digest: unknown): Json | undefined {
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined;
  try {
    return JSON.parse(readFileSync(join(content, 'blobs/sha256', hexOf(digest)), 'utf8')) as Json;
  } catch {
    return undefined;
  }
}
