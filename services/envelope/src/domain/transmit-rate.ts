/** How much newer samples count when the rate falls: half of a sample's 100 ms. */
const WEIGHT = 0.05;
/** Samples that follow each other faster say too little. */
const MIN_DISTANCE_MS = 50;

/**
 * The rate at which a device transmits, from its counter of bytes: up at once, down over a few seconds, so that a pause between two packets is
 * no room for another client. A counter that was set back says nothing.
 */
export class TransmitRate {
  #last: { readonly bytes: number; readonly atMs: number } | undefined;
  #bitsPerSecond = 0;

  sample(bytes: number, atMs: number): void {
    const last = this.#last;
    if (last !== undefined && atMs - last.atMs <= MIN_DISTANCE_MS) return;
    this.#last = { bytes, atMs };
    if (last === undefined || bytes < last.bytes) return;
    const now = (8 * 1000 * (bytes - last.bytes)) / (atMs - last.atMs);
    this.#bitsPerSecond = Math.max(now, (1 - WEIGHT) * this.#bitsPerSecond + WEIGHT * now);
  }

  get bitsPerSecond(): number {
    return this.#bitsPerSecond;
  }
}
