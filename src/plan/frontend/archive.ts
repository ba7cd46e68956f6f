const COMPRESSED: readonly (readonly number[])[] = [
  [0x42, 0x5a, 0x68], // bzip2
  [0x1f, 0x8b, 0x08], // gzip
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], // xz
];
const BLOCK = 512;
const CHECKSUM = { start: 148, end: 156 };

/** Whether a file that begins so is a tar archive, perhaps compressed. At least one tar block is needed to tell. */
export function looksLikeArchive(head: Uint8Array): boolean {
  return COMPRESSED.some(magic => magic.every((byte, i) => head[i] === byte)) || isTarHeader(head.subarray(0, BLOCK));
}

/** A tar header's sum of its own bytes, the sum itself counted as blanks, is what it says; old tars add signed bytes. */
function isTarHeader(block: Uint8Array): boolean {
  if (block.length < BLOCK) return false;
  const said = new TextDecoder('latin1').decode(block.subarray(CHECKSUM.start, CHECKSUM.end)).replace(/[\0 ]+/g, '');
  if (!/^[0-7]+$/.test(said)) return false;
  let unsigned = 0;
  let signed = 0;
  block.forEach((byte, i) => {
    const counted = i >= CHECKSUM.start && i < CHECKSUM.end ? 0x20 : byte;
    unsigned += counted;
    signed += (counted << 24) >> 24;
  });
  const sum = Number.parseInt(said, 8);
  return sum === unsigned || sum === signed;
}
