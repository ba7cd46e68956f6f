import { cpus, hostname, release, totalmem } from 'node:os';
import { readStoredImage } from '../../../store/content/stored-image.ts';
import { version } from '../../cli/version.ts';
import type { DaemonServices } from '../daemon-services.ts';
import { collectDaemonUsage } from '../usage-service.ts';
import { type ApiCall, ApiError, type ApiRoute, sendJson } from './api-call.ts';
import { storedImages, summaryOf } from './stored-images.ts';

/** Of Docker's API: what is spoken, and the oldest that still is. */
export const API_VERSION = '1.50';
export const MIN_API_VERSION = '1.24';

/** What clients ask before they do anything, and how much room everything takes. */
export function systemRoutes(services: DaemonServices): ApiRoute[] {
  const { engine, worker } = services;
  return [
    { method: 'HEAD', path: /^\/_ping$/, answer: async call => ping(call) },
    { method: 'GET', path: /^\/_ping$/, answer: async call => ping(call) },
    {
      method: 'GET',
      path: /^\/version$/,
      async answer(call) {
        const common = {
          ApiVersion: API_VERSION,
          MinAPIVersion: MIN_API_VERSION,
          Os: 'linux',
          KernelVersion: release(),
        };
        sendJson(call, {
          Platform: { Name: 'outcrop' },
          Components: [
            { Name: 'Engine', Version: version(), Details: { ...common, Arch: engine.platform.architecture } },
          ],
          Version: version(),
          ...common,
          Arch: engine.platform.architecture,
          GitCommit: '',
          GoVersion: '',
          BuildTime: '',
        });
      },
    },
    {
      method: 'GET',
      path: /^\/info$/,
      async answer(call) {
        sendJson(call, {
          ID: worker.id,
          Name: hostname(),
          ServerVersion: version(),
          OSType: 'linux',
          Architecture: engine.platform.architecture,
          KernelVersion: release(),
          NCPU: cpus().length,
          MemTotal: totalmem(),
          Images: storedImages(engine).length,
          Containers: 0,
          Driver: 'overlayfs',
          // Images lie in a content store, so that clients may ask for all that BuildKit does with them.
          DriverStatus: [['driver-type', 'io.containerd.snapshotter.v1']],
          DockerRootDir: engine.root,
          IndexServerAddress: 'https://index.docker.io/v1/',
          RegistryConfig: {},
          SecurityOptions: [],
          Warnings: null,
        });
      },
    },
    {
      method: 'GET',
      path: /^\/system\/df$/,
      async answer(call) {
        const images = storedImages(engine);
        const records = (await collectDaemonUsage(services, call.signal)).records;
        const blobs = new Map<string, number>();
        for (const { target } of images) {
          const stored = await readStoredImage(engine.content, target, call.signal).catch(() => undefined);
          for (const { digest, size } of stored?.blobs.values() ?? []) blobs.set(digest, size);
        }
        sendJson(call, {
          LayersSize: [...blobs.values()].reduce((sum, size) => sum + size, 0),
          Images: await Promise.all(images.map(image => summaryOf(engine, image, call.signal))),
          Containers: [],
          Volumes: [],
          BuildCache: records.map(record => ({
            ID: record.id,
            Parents: record.parents,
            Type: record.type,
            Description: record.description,
            InUse: false,
            Shared: record.shared,
            Size: record.size,
            CreatedAt: new Date(record.createdAt).toISOString(),
            LastUsedAt: new Date(record.lastUsedAt).toISOString(),
            UsageCount: 1,
          })),
        });
      },
    },
    // There are none, and nothing that is to be cleared away of them.
    ...['containers', 'volumes', 'networks'].flatMap((kind): ApiRoute[] => {
      const listed = kind === 'volumes' ? { Volumes: [], Warnings: null } : [];
      const title = `${kind[0]?.toUpperCase()}${kind.slice(1)}Deleted`;
      return [
        {
          method: 'GET',
          path: new RegExp(`^/${kind}(?:/json)?$`),
          answer: async call => sendJson(call, listed),
        },
        {
          method: 'POST',
          path: new RegExp(`^/${kind}/prune$`),
          answer: async call => sendJson(call, { [title]: null, SpaceReclaimed: 0 }),
        },
      ];
    }),
    {
      method: 'GET',
      path: /^\/containers\/(.+)\/json$/,
      async answer(_call, name) {
        throw new ApiError(404, `No such container: ${name}`);
      },
    },
  ];
}

function ping({ request, response }: ApiCall): void {
  const body = request.method === 'HEAD' ? '' : 'OK';
  response.writeHead(200, {
    'builder-version': '2',
    swarm: 'inactive',
    'cache-control': 'no-cache, no-store, must-revalidate',
    pragma: 'no-cache',
    'content-type': 'text/plain; charset=utf-8',
    'content-length': body.length,
  });
  response.end(body);
}
