/**
 * What one side puts in and the other takes out in the same order. It holds few items: whoever puts in more waits until some
 * are taken.
 */
export interface Outbox<T> extends AsyncIterable<T> {
  /** Settles when there is place for more. Does nothing once the box is closed. */
  send(item: T): Promise<void>;
  /** Nothing more comes; what is in the box can still be taken. */
  close(): void;
  /** The one who takes gets this error after what is in the box. */
  fail(error: unknown): void;
}

/** Makes a box with place for so many items. */
export function createOutbox<T>(capacity = 8): Outbox<T> {
  const items: T[] = [];
  const senders: (() => void)[] = [];
  let wake: (() => void) | undefined;
  let isClosed = false;
  let failure: { readonly error: unknown } | undefined;

  function close(): void {
    isClosed = true;
    wake?.();
    for (const resume of senders.splice(0)) resume();
  }

  return {
    send(item) {
      if (isClosed) return Promise.resolve();
      items.push(item);
      wake?.();
      if (items.length <= capacity) return Promise.resolve();
      return new Promise(resolve => senders.push(resolve));
    },
    close,
    fail(error) {
      failure ??= { error };
      close();
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const item = items.shift();
          if (item !== undefined) {
            senders.shift()?.();
            yield item;
            continue;
          }
          if (failure !== undefined) throw failure.error;
          if (isClosed) return;
          await new Promise<void>(resolve => (wake = resolve));
          wake = undefined;
        }
      } finally {
        // Nobody takes any more.
        close();
        items.length = 0;
      }
    },
  };
}
