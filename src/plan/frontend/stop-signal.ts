/** A signal that does not exist. */
class SignalError extends Error {
  override readonly name = 'SignalError';
}

// The table of github.com/moby/sys/signal on Linux; numbers do not count here.
const NAMES = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN ' +
    'TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
);
const REAL_TIME = /^(?:RTMIN\+(?:[1-9]|1[0-5])|RTMAX-(?:[1-9]|1[0-4]))$/;

/** Refuses what is neither a number nor the name of a signal. @throws SignalError */
export function checkStopSignal(text: string): void {
  if (/^[+-]?\d+$/.test(text)) {
    if (Number(text) === 0) throw new SignalError(`invalid signal: ${text}`);
    return;
  }
  const name = text.toUpperCase().replace(/^SIG/, '');
  if (!NAMES.has(name) && !REAL_TIME.test(name)) throw new SignalError(`invalid signal: ${text}`);
}
