/**
 * Begins to count time of the processor, which other programs change less than that of the clock.
 *
 * @returns a function that gives the milliseconds that this thread has taken since
 */
export function startCpuTimer(): () => number {
  const start = process.threadCpuUsage();
  return () => {
    const { user, system } = process.threadCpuUsage(start);
    return (user + system) / 1000;
  };
}
