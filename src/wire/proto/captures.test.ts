import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRegistry, equals, fromBinary, toBinary } from '@bufbuild/protobuf';
import { captureNames, readCapture } from './capture-fixture.ts';
import { file_containerd_content } from './gen/containerd/content_pb.ts';
import { file_control_control } from './gen/control/control_pb.ts';
import { file_control_gateway } from './gen/control/gateway_pb.ts';
import { file_fsutil_wire } from './gen/fsutil/wire_pb.ts';
import { file_session_filesync } from './gen/session/filesync_pb.ts';
import { file_session_secrets } from './gen/session/secrets_pb.ts';
import { file_session_ssh } from './gen/session/ssh_pb.ts';

const registry = createRegistry(
  file_containerd_content,
  file_control_control,
  file_control_gateway,
  file_fsutil_wire,
  file_session_filesync,
  file_session_secrets,
  file_session_ssh,
);

/** Go writes the member of a oneof after all other fields, so these need not come in the order of their numbers. */
function hasSetOneof(message: object): boolean {
  return Object.values(message).some(value => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
    if ('case' in value && value.case !== undefined) return true;
    return hasSetOneof(value);
  });
}

test('recorded messages decode without unknown fields, and encode to the same bytes', t => {
  let same = 0;
  let reordered = 0;
  let withoutBytes = 0;
  for (const name of captureNames()) {
    for (const { method, events } of readCapture(name)) {
      for (const { kind, type = '', hex } of events) {
        if (kind !== 'message') continue;
        if (hex === undefined) {
          withoutBytes++;
          continue;
        }
        const where = `${name} ${method}: ${type}`;
        // FileSend declares one type and sends another when the target is a directory.
        const [declared = '', ofDirectory = declared] = type.split('|');
        const schema = registry.getMessage(name === 'file-send-local' ? ofDirectory : declared);
        assert.ok(schema, where);
        const message = fromBinary(schema, Buffer.from(hex, 'hex'));
        assert.equal(message.$unknown, undefined, `unknown fields: ${where}`);
        const bytes = toBinary(schema, message);
        if (Buffer.from(bytes).toString('hex') === hex) {
          same++;
          continue;
        }
        assert.ok(hasSetOneof(message), `other bytes: ${where}`);
        assert.equal(bytes.length, hex.length / 2, where);
        assert.ok(equals(schema, fromBinary(schema, bytes), message), where);
        reordered++;
      }
    }
  }
  t.diagnostic(
    `${same} messages to the byte, ${reordered} equal with a oneof elsewhere; ${withoutBytes} were not kept`,
  );
  assert.equal(same + reordered, 422);
});
