/** Stands for the global of the same name in the bundle: that one takes milliseconds to load. */
export const performance = {
  /** Milliseconds since some time in the past. */
  now(): number {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
};
