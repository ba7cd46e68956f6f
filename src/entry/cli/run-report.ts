import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { outcropRoot } from '../../host/config/paths.ts';
import type { BuildSummary } from '../../insight/history/build-record.ts';
import { shownMaker } from '../../insight/history/secret-values.ts';
import { reportPage } from '../../insight/report/page.ts';
import { type ReportImage, type ReportLayer, reportData } from '../../insight/report/report-data.ts';
import { rootLayout } from '../../store/root-layout.ts';
import { hexOf, isDigest } from '../../wire/oci/digest.ts';
import { UsageError } from './errors.ts';
import { findBuild, type OpenHistory, openBuildHistory } from './open-history.ts';
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
  const page = buildPage(opened, { name, against, root, now });
  if (output === '-') return page;
  await writeFile(output, page);
  return `${output}\n`;
}

interface PageRequest {
  readonly name: string | undefined;
  /** The build to set beside it. */
  readonly against: string | undefined;
  readonly root: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Where a list of builds is, if there is one. */
  readonly home?: string;
}

/** The page of a build. @throws UsageError for a build that there is not */
export function buildPage(opened: OpenHistory, { name, against, root, now, home }: PageRequest): string {
  const build = findBuild(opened.history, name);
  const past = against === undefined ? undefined : findBuild(opened.history, against);
  const data = reportData({
    context: opened.catalogue(opened.explain(build, past), now),
    images: imagesOf(build, rootLayout(root).content, by => shownMaker(opened.shown(by, build))),
    past,
    log: step => opened.history.log(build.number, step),
    labelOf: stepLabel,
  });
  return reportPage(data, home);
}

type Json = { readonly [member: string]: unknown };

/**
 * The images that a build made, each with its layers; none where the store does not have them any more.
 * @param shown what made a layer, as it may be shown
 */
function imagesOf({ response }: BuildSummary, content: string, shown: (by: string) => string): ReportImage[] {
  const root = readJson(content, response?.['containerimage.digest']);
  if (!Array.isArray(root?.['manifests']))
    return root === undefined ? [] : [{ platform: '', layers: layersOf(root, content, shown) }];
  return (root['manifests'] as Json[]).flatMap(({ digest, platform, annotations }) => {
    // What only attests is no image.
    if ((annotations as Json | undefined)?.['vnd.docker.reference.type'] !== undefined) return [];
    const manifest = readJson(content, digest);
    const { os = '', architecture = '', variant = '' } = (platform ?? {}) as Record<string, string>;
    const words = [os, architecture, variant].filter(word => word !== '');
    return manifest === undefined ? [] : [{ platform: words.join('/'), layers: layersOf(manifest, content, shown) }];
  });
}

function layersOf(manifest: Json, content: string, shown: (by: string) => string): ReportLayer[] {
  const config = readJson(content, (manifest['config'] as Json | undefined)?.['digest']);
  const history = Array.isArray(config?.['history']) ? (config['history'] as Json[]) : [];
  const makers = history.filter(entry => entry['empty_layer'] !== true);
  const layers = Array.isArray(manifest['layers']) ? (manifest['layers'] as Json[]) : [];
  return layers.map((layer, index) => {
    const by = makers[index]?.['created_by'];
    return {
      digest: String(layer['digest']),
      size: Number(layer['size']),
      ...(typeof by === 'string' ? { by: shown(by) } : {}),
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
