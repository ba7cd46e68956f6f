import { deflateRaw } from 'node:zlib';

/** Each level costs about a fifth of the time more than the one before. */
const USUAL = 6;
const CHEAPER = [4, 5];
/** How much longer than at the usual level the result may be. At that level Go's gzip, which BuildKit uses, makes 0.3 to 1.8 % more. */
const TOLERATED = 1.01;
/** What hardly shrinks says nothing about what follows. */
const TELLING = 0.9;
/** Blocks for which one sample decides, and how many bytes of the first of them it has. */
const SAMPLED_BLOCKS = 16;
const SAMPLE = 1 << 17;

/** Chooses deflate levels for the blocks of one blob. */
export interface LevelChooser {
  /** The level for the next block. The content may be changed once this returns. */
  next(content: Buffer): number | Promise<number>;
}

/**
 * Where a lower level makes nearly as little of the content as the usual one, it is taken: much of what layers hold
 * (programs, archives, text of few words) gains nothing from a longer search. A sample of some blocks decides for those
 * that come after them, so nothing waits for it, and the same content always gets the same levels.
 */
export function levelChooser(): LevelChooser {
  let number = 0;
  let level: number | Promise<number> = USUAL;
  let upcoming: Promise<number> | undefined;
  return {
    next(content) {
      if (number++ % SAMPLED_BLOCKS === 0) {
        level = upcoming ?? level;
        const before = level;
        if (content.length >= SAMPLE) {
          const start = (content.length - SAMPLE) >> 1;
          upcoming = sampled(Buffer.from(content.subarray(start, start + SAMPLE)), before);
          // Its failure is seen by the blocks that wait for it.
          upcoming.catch(() => {});
        }
      }
      return level;
    },
  };
}

async function sampled(sample: Buffer, before: number | Promise<number>): Promise<number> {
  const usual = await deflatedLength(sample, USUAL);
  if (usual > sample.length * TELLING) return await before;
  for (const level of CHEAPER) {
    if ((await deflatedLength(sample, level)) <= usual * TOLERATED) return level;
  }
  return USUAL;
}

function deflatedLength(content: Buffer, level: number): Promise<number> {
  return new Promise((resolve, reject) =>
    deflateRaw(content, { level }, (error, result) => (error ? reject(error) : resolve(result.length))),
  );
}
