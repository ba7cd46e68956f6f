import { type DescFile, type DescService, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from '../proto/gen/grpc/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../proto/gen/grpc/reflection_v1alpha_pb.ts';
import { Code } from './code.ts';
import { methodOf, pathOf } from './method.ts';
import { type Route, streamRoute } from './service.ts';

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

/** The reflection service, in both of its versions, which tells clients what the given services and their messages are. */
export function reflectionRoutes(services: readonly DescService[]): Route[] {
  const all = [...services, ServerReflection, ServerReflectionAlpha];
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  for (const { file } of all) addFile(file, files, symbols);

  function answer({ messageRequest: request }: ServerReflectionRequest): Answer {
    switch (request.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: { service: all.map(({ typeName: name }) => ({ name })).sort((a, b) => (a.name < b.name ? -1 : 1)) },
        };
      case 'fileByFilename':
        return found(files.get(request.value), `proto: file "${request.value}" not found`);
      case 'fileContainingSymbol':
        return found(symbols.get(request.value), `proto: symbol "${request.value}" not found`);
      case 'allExtensionNumbersOfType':
        return { case: 'allExtensionNumbersResponse', value: { baseTypeName: request.value } };
      case 'fileContainingExtension':
        return found(undefined, 'proto: extension not found');
      default:
        return failed(Code.invalidArgument, 'invalid MessageRequest');
    }
  }

  // Both versions are the same on the wire.
  const method = methodOf(ServerReflection.method.serverReflectionInfo);
  const paths = [ServerReflection, ServerReflectionAlpha].map(service => pathOf(service.method.serverReflectionInfo));
  return paths.map(path =>
    streamRoute({ ...method, path }, async function* (requests) {
      for await (const request of requests)
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
    }),
  );
}

/** A file, and after it those that it imports: clients need them all. */
function found(file: DescFile | undefined, otherwise: string): Answer {
  if (file === undefined) return failed(Code.notFound, otherwise);
  const all = new Map<string, DescFile>();
  addFile(file, all, new Map());
  const bytes = [...all.values()].map(each => toBinary(FileDescriptorProtoSchema, each.proto));
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto: bytes } };
}

function failed(errorCode: number, errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}

function addFile(file: DescFile, files: Map<string, DescFile>, symbols: Map<string, DescFile>): void {
  if (files.has(file.proto.name)) return;
  files.set(file.proto.name, file);
  for (const { typeName } of [...file.messages, ...file.enums, ...file.services]) symbols.set(typeName, file);
  for (const service of file.services)
    for (const method of service.methods) symbols.set(`${service.typeName}.${method.name}`, file);
  for (const dependency of file.dependencies) addFile(dependency, files, symbols);
}
